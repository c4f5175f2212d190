"""Whether a principal may do something.

Actions are named as IAM names them, `service:Operation`. Today a key's role decides: an operator's
key may do everything, a member's key everything but administer this Craton.
"""

from craton.access.records import Principal, Role
from craton.kernel.errors import AccessDenied

ADMINISTER = "craton:Administer"
_OPERATOR = Role.OPERATOR  # Python 3.11 looks members of an enumeration up slowly


def authorize(principal: Principal, action: str) -> None:
    """Return if allowed; AccessDenied names the principal and the action."""
    if principal.role is _OPERATOR or action != ADMINISTER:
        return
    raise AccessDenied(
        f"Key {principal.key} of account {principal.account} is not authorized to perform "
        f"{action}. Use an operator's key, such as the one in credentials.json."
    )
