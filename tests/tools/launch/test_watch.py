"""When a job counts as lost: rules over made-up reports and times."""

import pytest

from gluon_mtcnn.core.distributed.heartbeat import CONNECTING, FINISHED, STARTING, WAITING, WORKING
from gluon_mtcnn.tools.launch.watch import Limits, Status, find_failure

LIMITS = Limits(dead=20, stall=120)


def make_members(**phases):
    """Return a job's members at time 0, all of which have just reported."""
    phases = {"scheduler": CONNECTING, "server_0": CONNECTING, "worker_0": WORKING, "worker_1": WORKING, **phases}
    return [
        Status(name.replace("_", " "), name.split("_")[0], 100 + i, phase, heard=0.0, moved=0.0)
        for i, (name, phase) in enumerate(phases.items())
    ]


def report(member, now, steps=0, cpu=0.0, phase=None):
    member.take({"phase": phase or member.phase, "steps": steps, "cpu": cpu}, now)


def run(members, seconds, **reports):
    """Let members report once a second; `reports` gives a function of time for some. Return the first failure."""
    for now in range(1, seconds + 1):
        for member in members:
            values = reports.get(member.name.replace(" ", "_"), lambda now: {})(now)
            if values is not None:
                report(member, now, **values)
        found = find_failure(members, LIMITS, now)
        if found:
            return now, found[0].name, found[1]
    return None


def test_steps_are_progress():
    assert run(make_members(), 1000, worker_0=lambda t: {"steps": t}, worker_1=lambda t: {"steps": t}) is None


def test_a_step_of_a_minute_is_not_a_stall():
    """One worker computes for a minute a step, on the CPU or, unseen by the CPU clock, on a GPU; the other waits."""
    for cpu in (1.0, 0.0):
        members = make_members(worker_1=WAITING)
        slow = lambda t, cpu=cpu: {"steps": t // 60, "cpu": cpu * t}  # noqa: E731
        assert run(members, 600, worker_0=slow, worker_1=lambda t: {"steps": t // 60}) is None


def test_a_very_long_step_is_seen_by_its_cpu_time():
    assert run(make_members(worker_1=WAITING), 5000, worker_0=lambda t: {"cpu": 0.9 * t}) is None


def test_alive_without_progress():
    """The thread that reports costs some milliseconds itself."""
    when, name, sentence = run(
        make_members(worker_0=WAITING), 1000, worker_1=lambda t: {"steps": min(t, 30), "cpu": 1 + 0.001 * t}
    )
    assert (when, name) == (151, "worker 1")
    assert sentence == "worker 1 is alive but has neither taken a step nor used the CPU for 120 s (after 30 steps)"


def test_silence():
    when, name, sentence = run(
        make_members(), 1000, worker_0=lambda t: {"steps": t}, worker_1=lambda t: {"steps": t} if t <= 50 else None
    )
    assert (when, name) == (71, "worker 1")
    assert sentence == "worker 1 has shown no sign of life for 20 s (after 50 steps)"


def test_a_member_that_never_came_up():
    members = make_members(server_0=STARTING)
    members[1].pid = None
    when, _, sentence = run(members, 1000, server_0=lambda t: None)
    assert when == 21
    assert sentence == "server 0 never came up: no sign of life within 20 s"


def test_loading_mxnet_may_take_its_time():
    """Python's lock is held meanwhile, so the member has reported once and is silent."""
    members = make_members(worker_1=STARTING)
    assert run(members, 100, worker_0=lambda t: {"cpu": t}, worker_1=lambda t: {} if t == 1 else None) is None


def test_workers_that_find_no_server():
    members = make_members(worker_0=CONNECTING, worker_1=CONNECTING)
    when, _, sentence = run(members, 1000)
    assert when == 21
    assert sentence == "worker 0 has waited 20 s for scheduler and servers: can it reach their hosts?"


def test_not_while_another_member_still_comes_up():
    members = make_members(worker_0=CONNECTING, worker_1=STARTING)
    assert run(members, 100, worker_1=lambda t: {"cpu": 0.5 * t}) is None


def test_servers_that_do_not_answer():
    members = make_members(worker_0=WAITING, worker_1=WAITING)
    _, name, sentence = run(members, 1000, worker_0=lambda t: {"steps": 7}, worker_1=lambda t: {"steps": 7})
    assert name == "server 0"
    assert sentence == "server 0 has not answered the workers for 120 s (after 7 steps)"


def test_a_slow_worker_finishes_before_the_others_have_told_that_they_go_on():
    members = make_members(worker_0=WAITING)
    assert run(members, 200, worker_1=lambda t: {"cpu": t}) is None
    report(members[3], 200.5, steps=1, phase=FINISHED)
    assert find_failure(members, LIMITS, 200.6) is None
    members[3].end(0, 201)
    assert find_failure(members, LIMITS, 201.2) is None


def test_waiting_for_worker_0_to_validate():
    members = make_members(worker_1=WAITING)
    assert run(members, 1000, worker_0=lambda t: {"steps": 9, "cpu": 0.9 * t}) is None


@pytest.mark.parametrize(
    ("code", "sentence"),
    [(-9, "worker 1 died: killed by SIGKILL (after 3 steps)"), (1, "worker 1 ended with exit code 1 (after 3 steps)")],
)
def test_the_first_to_end_is_named(code, sentence):
    members = make_members()
    report(members[3], 1, steps=3)
    members[2].end(1, 5.5)
    members[3].end(code, 5.0)
    members[3].end(77, 6.0)
    assert find_failure(members, LIMITS, 6)[1] == sentence


def test_the_orderly_end():
    members = make_members(worker_0=FINISHED, worker_1=FINISHED)
    for member in members:
        member.end(0, 5.0)
    assert find_failure(members, LIMITS, 100) is None


def test_a_server_that_ends_too_early():
    members = make_members()
    members[1].end(0, 1.0)
    for now in (2, 7):
        for member in members[2:]:
            report(member, now, steps=now)
        found = find_failure(members, LIMITS, now)
        assert (found is None) == (now == 2)
    assert found[1] == "server 0 ended before the workers had finished"
