import pytest

from tests.unit.apis.native.native_api import Api


@pytest.fixture
async def api() -> Api:
    return Api()
