from clinical_qkt.review.report import practice


def test_the_site_s_own_prevalence_stands_alone_on_the_first_sheet(made):
    own = practice.first(made(prevalence=0.5))
    assert [(r.share, r.own) for r in own] == [("0.5 %", True)]
    assert "told how common" in practice.told_by(made(prevalence=0.5))


def test_without_one_three_examples_stand_there_and_it_is_said_that_nobody_told(made):
    found = practice.first(made())
    assert [r.share for r in found] == ["10 %", "1 %", "0.1 %"] and not any(r.own for r in found)
    assert "How common images of dog are there was not told" in practice.told_by(made())


def test_of_several_classes_each_has_a_line(made):
    found = practice.first(made(query=("dog", "eel"), prevalence=2))
    assert [(r.name, r.share, r.own) for r in found] == [("dog", "2 %", True), ("eel", "1 %", False)]
    assert "images of eel are there" in practice.told_by(made(query=("dog", "eel"), prevalence=2))


def test_figures_at_a_prevalence_have_their_intervals(made):
    rung = practice.first(made())[1]
    assert (rung.share, rung.right, rung.alarms) == ("1 %", "27", "25")
    low, high = (int(end.strip("<>")) for end in rung.right_ends.split(" to "))
    assert low < 27 < high and rung.other.startswith("99.")
    assert len(practice.rungs(made(), "dog")) == 5


def test_without_test_images_nothing_is_claimed(made):
    assert practice.first(made(queried_images=0)) == practice.rungs(made(queried_images=0), "dog") == []
