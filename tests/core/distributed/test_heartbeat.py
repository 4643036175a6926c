from gluon_mtcnn.core.distributed.heartbeat import STARTING, WAITING, WORKING, Activity


def test_phases_and_steps_of_one_activity_do_not_touch_another():
    mine, other = Activity(), Activity()
    mine.enter(WORKING)
    with mine.waiting():
        assert mine.phase == WAITING
    mine.step()
    assert (mine.phase, mine.steps) == (WORKING, 1)
    assert (other.phase, other.steps) == (STARTING, 0)
