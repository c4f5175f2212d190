import pytest

from craton.kernel import errors
from craton.kernel.errors import CratonError, Fault, raised


@pytest.mark.parametrize("fault", list(Fault))
def test_each_fault_comes_back_as_its_own_error(fault: Fault) -> None:
    error = raised(fault, "what, which, what next", "Code")
    assert error.fault is fault
    assert (error.message, str(error), error.code) == (
        "what, which, what next",
        "what, which, what next",
        "Code",
    )


def test_the_tree_in_the_docstring_names_every_error() -> None:
    assert errors.__doc__ is not None
    found = {
        value.__name__
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, CratonError)
    }
    named = {word for word in errors.__doc__.replace("─", " ").split() if word in found}
    assert named == found
