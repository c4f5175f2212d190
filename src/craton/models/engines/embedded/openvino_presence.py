"""Whether OpenVINO GenAI is installed: an extra, since it takes 200 MB of disk."""

import importlib.util
from typing import Any

from craton.kernel.errors import Unavailable

PACKAGE = "openvino_genai"


def check_installed(find: Any = importlib.util.find_spec) -> None:  # noqa: ANN401 - a finder of modules
    """Unavailable says how to install it."""
    if find(PACKAGE) is None:
        raise Unavailable(
            "The runtime openvino needs the package openvino-genai, which isn't installed where "
            "Craton runs. Install it with `pip install 'craton[openvino]'` and start Craton again, "
            "or use the runtime llama."
        )
