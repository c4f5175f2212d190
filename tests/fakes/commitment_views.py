"""A commitment and a statement as the state process tells them."""

from typing import Any

import msgspec

from craton.fleet.commitment_contract import (
    CommitmentView,
    DeliveryView,
    StatementView,
    YearView,
)
from craton.fleet.commitment_records import CommitmentState
from craton.fleet.commitment_terms import Above, RollsOver, Unit
from tests.fakes.contracts import DECEMBER_S, JANUARY_S, MARCH_S
from tests.fakes.fleet_views import ACCOUNT


def commitment(**changes: Any) -> CommitmentView:
    delivery = DeliveryView(
        start_s=DECEMBER_S,
        end_s=MARCH_S,
        of=["trainium2", "trn2u.48xlarge"],
        amount="64",
        held="48",
        missing="16",
        reason="north/trn2.48xlarge has no more units free for all of that time",
        chips=48,
        pools={"north/trn2.48xlarge": 3},
        reservations=["cr-1"],
        broken_units=0,
    )
    year = YearView(
        year=2026,
        months_posted=1,
        amount="95232.00",
        due="95232.00",
        credited="23808.00",
        extra="0.00",
        recognised="71424.00",
        above="12.50",
        backlog="181248.00",
        committed=64 * 744 * 3600,
        delivered=48 * 744 * 3600,
        used=10 * 744 * 3600,
        over=0,
    )
    view = CommitmentView(
        id="cmt-0123456789abcdef0",
        name="trainium",
        account=ACCOUNT,
        state=CommitmentState.ACTIVE,
        unit=Unit.CHIPS,
        measure="chip_s",
        currency="USD",
        start_s=DECEMBER_S,
        end_s=MARCH_S,
        signed_ms=1,
        ended_s=None,
        take_or_pay_permille=1000,
        rolls_over=RollsOver.MONTH,
        above=Above.ON_DEMAND,
        exclusive=["north"],
        source="made up",
        contracted="138000000000.00",
        recognised="71424.00",
        credited="23808.00",
        lapsed="23808.00",
        backlog="137999904768.000000001",
        above_amount="12.50",
        fee="0.00",
        banked=7200,
        deliveries=[delivery],
        years=[year],
        next_post_s=JANUARY_S,
        is_simulated=True,
    )
    return msgspec.structs.replace(view, **changes)


def statement(**changes: Any) -> StatementView:
    view = StatementView(
        id="cmt-0123456789abcdef0",
        name="trainium",
        account=ACCOUNT,
        month="2026-12",
        start_s=DECEMBER_S,
        end_s=JANUARY_S,
        posted_ms=JANUARY_S * 1000,
        measure="chip_s",
        currency="USD",
        amount="95232.00",
        due="95232.00",
        credit="23808.00",
        extra="0.00",
        total="71424.00",
        above={"USD": "48.00"},
        committed=64 * 744 * 3600,
        delivered=48 * 744 * 3600,
        used=64 * 744 * 3600,
        drawn=0,
        over=16 * 3600,
        banked=0,
        is_simulated=True,
    )
    return msgspec.structs.replace(view, **changes)
