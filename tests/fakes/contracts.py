"""A small contract whose lines a test replaces, and the fleet that it is for."""

from tests.fakes.fleets import north, rack

FLEET = north(
    rack("t", "trn2.48xlarge", hosts=9, spares=1),
    rack("h", "p5en.48xlarge", hosts=2),
)
CONTRACT = """\
name = "trainium"
account = "alice"
currency = "USD"
unit = "chips"
start = 2026-12-01
end = 2027-03-01
take_or_pay_permille = 1000
rolls_over = "none"
above = "on-demand"
exclusive = []
termination_permille = 0
source = "made up"

[price]
per_chip_hour = "2.00"

[[delivery]]
from = 2026-12-01
of = "trainium2"
amount = 64
"""
DECEMBER_S, JANUARY_S, FEBRUARY_S, MARCH_S = 1796083200, 1798761600, 1801440000, 1803859200
"""The first moments of those months, from December 2026 on."""


def contract(*lines: str, price: str = "", delivery: str = "") -> str:
    """The contract with other lines in the place of those with their keys, or other tables."""
    text = CONTRACT
    for line in lines:
        key = line.partition(" =")[0]
        before = next(each for each in text.splitlines() if each.startswith(f"{key} ="))
        text = text.replace(f"{before}\n", f"{line}\n", 1)
    head, _, rest = text.partition("[price]\n")
    old_price, _, old_delivery = rest.partition("\n[[delivery]]\n")
    return f"{head}[price]\n{price or old_price}\n[[delivery]]\n{delivery or old_delivery}"
