"""Whatever happens in any order: no use is lost or counted twice, and each month is billed once."""

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from craton.fleet.commitment_contract import (
    CommitmentsQuery,
    CommitmentView,
    FindCapacity,
    SignCommitment,
    TerminateCommitment,
)
from craton.fleet.commitment_records import CommitmentUse
from craton.fleet.contract import (
    Advance,
    CancelReservation,
    CreateReservation,
    EndLease,
    MarkHosts,
    RequestLease,
)
from craton.fleet.records import HostState, LeaseKind, ReservationState
from craton.kernel.errors import CratonError
from tests.fakes.contracts import DECEMBER_S, FLEET, MARCH_S, contract
from tests.fakes.fleets import ALICE, BOB, FailedCommitError, FleetWorld

HOUR_S, DAY_S = 3600, 86_400
RESOURCE = "trn2.48xlarge"
STEPS = [
    *("inside", "outside", "inside", "outside", "others", "open", "cancel", "end", "end"),
    *("fail", "repair", "restart", "step", "step", "jump", "jump", "capacity", "terminate"),
]


class Steps:
    """A world in which the term has begun; refusals are answers like any other."""

    def __init__(self, text: str) -> None:
        self.world = FleetWorld(FLEET)
        sign = SignCommitment(text=text, account="alice", principal="key-a")
        self.id = self.world.call("sign_commitment", sign).id
        self.world.advance(DECEMBER_S - self.world.now_s)

    def attempt(self, name: str, command: msgspec.Struct, *, fails: bool) -> None:
        self.world.failing = fails
        try:
            self.world.call(name, command)
        except (CratonError, FailedCommitError):
            pass
        finally:
            self.world.failing = False

    def run(self, step: str, pick: int, *, fails: bool) -> None:
        world, fleet = self.world, self.world.office.fleet
        leases = [each for each in fleet.leases.values() if each.account == "alice"]
        if step in ("inside", "outside", "others"):
            parts = world.office.commitments.desk.records[self.id].parts
            wish = RequestLease(
                owner=BOB if step == "others" else ALICE,
                kind=LeaseKind.ON_DEMAND,
                instance_type=RESOURCE,
                chips=1 + pick % 40,
                seconds=None if pick % 3 else 9 * HOUR_S,
                reservation=parts[0].reservation if step == "inside" else None,
            )
            self.attempt("request_lease", wish, fails=fails)
        elif step == "open":
            wanted = CreateReservation(
                owner=ALICE,
                instance_type=RESOURCE,
                hosts=1,
                zone=None,
                end_s=None,
                is_targeted=True,
                platform="Linux/UNIX",
            )
            self.attempt("create_reservation", wanted, fails=fails)
        elif step == "cancel":
            for each in list(fleet.reservations.values()):
                if each.block is None and each.state is ReservationState.ACTIVE:
                    command = CancelReservation("alice", each.id)
                    self.attempt("cancel_reservation", command, fails=fails)
        elif step == "end" and leases:
            command = EndLease(leases[pick % len(leases)].id, None, "alice")
            self.attempt("end_lease", command, fails=fails)
        elif step in ("fail", "repair"):
            state = HostState.FAILED if step == "fail" else None
            command = MarkHosts(f"north/a/t/{1 + pick % 9}", state)
            self.attempt("mark_hosts", command, fails=fails)
        elif step == "restart":
            before = self.told()
            world.restart()
            assert self.told() == before
        elif step == "step":
            world.advance(min(pick * HOUR_S, self.left_s))
        elif step == "jump":
            world.clock.advance(seconds=min(pick * DAY_S + 17, self.left_s))
            self.attempt("advance", Advance(), fails=fails)
            self.attempt("advance", Advance(), fails=False)
        elif step == "capacity":
            self.attempt("find_commitment_capacity", FindCapacity(self.id), fails=fails)
        elif step == "terminate" and pick == 0:
            self.attempt("terminate_commitment", TerminateCommitment(self.id), fails=fails)

    @property
    def left_s(self) -> int:
        return MARCH_S - HOUR_S - self.world.now_s

    def told(self) -> CommitmentView:
        (found,) = self.world.read("commitments", CommitmentsQuery()).commitments
        return found

    def check(self) -> None:
        """What must hold at any moment."""
        world, desk = self.world, self.world.office.commitments.desk
        months = desk.months.get(self.id, ())
        record = desk.records[self.id]
        assert not world.faults()
        assert len(months) == record.posted == len({month.month for month in months})
        billed = sum(month.recognised + sum(month.above.values()) for month in months)
        assert world.books.balance(f"revenue/commitment/{self.id}") == -(
            billed + sum(record.fees_nanos)
        )
        if record.ended_s is None:
            self.check_use(
                sum(month.used for month in months),
                months_used=desk.uses.get(self.id, CommitmentUse()),
            )

    def check_use(self, posted: int, *, months_used: CommitmentUse) -> None:
        """Every chip-second that was recorded for the account is counted, and cost nothing."""
        rows = self.world.books.rows(
            "SELECT quantities FROM usage WHERE account = 'alice' AND resource = ?", (RESOURCE,)
        )
        recorded = sum(
            sum(msgspec.json.decode(str(row[0]), type=dict[str, int]).values()) for row in rows
        )
        pending = sum(sum(pools.values()) for pools in months_used.months.values())
        assert posted + pending == recorded
        assert self.world.books.balance(f"revenue/{RESOURCE}") == -self.world.books.balance(
            "customer/bob"
        )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["none", "month", "year"]),
    st.sampled_from([0, 333, 1000]),
    st.sampled_from([64, 128, 200]),
    st.lists(
        st.tuples(st.sampled_from(STEPS), st.integers(0, 40), st.integers(0, 4)),
        min_size=4,
        max_size=25,
    ),
)
def test_no_use_is_lost_and_no_month_is_billed_twice(
    rolls_over: str, permille: int, chips: int, steps: list[tuple[str, int, int]]
) -> None:
    text = contract(
        f'rolls_over = "{rolls_over}"',
        f"take_or_pay_permille = {permille}",
        "termination_permille = 100",
        delivery=f'from = 2026-12-01\nof = "trainium2"\namount = {chips}\n',
    )
    run = Steps(text)
    for step, pick, failing in steps:
        run.run(step, pick, fails=failing == 0)
        run.check()
