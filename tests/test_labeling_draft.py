"""A ranking while it is made."""

from prefrl_labeling.draft import Draft, spoken


def test_a_ranking_is_made_step_by_step() -> None:
    draft = Draft().chosen(2).chosen(0)
    assert (draft.groups, draft.ranks(4)) == (((2,), (0,)), None)
    assert draft.ranks(3) == (1, 2, 0)  # the last one follows by itself
    tied = draft.joined().chosen(3)
    assert (tied.groups, tied.joins, tied.ranks(4)) == (((2,), (0, 3)), False, (1, 2, 0, 1))
    assert [tied.label(i) for i in range(4)] == ["2 =", "", "1", "2 ="]
    assert tied.with_rest(5).ranks(5) == (1, 2, 0, 1, 2)
    assert draft.joined().ranks(3) == (1, 1, 0)


def test_every_step_is_taken_back() -> None:
    assert Draft().back() == Draft().joined() == Draft()
    draft = Draft().chosen(1).joined()
    assert draft.back() == Draft(((1,),))
    assert draft.chosen(0).back() == Draft(((1,),))
    assert draft.chosen(0).chosen(1) == Draft(((0,),))  # chosen again, it loses its place
    assert Draft(((1,), (0,), (2,))).chosen(0) == Draft(((1,), (2,)))


def test_a_ranking_in_words() -> None:
    assert spoken((1, 0, 1, 2)) == "2 > 1 = 3 > 4"
    assert spoken((0, 0)) == "1 = 2"
