from detected_people import face, standing
from shotcrop_cli.evaluation.detections import Detections, Joint, Keypoint, Person
from shotcrop_cli.evaluation.main_person import main_face, main_person, prominence
from shotcrop_cli.shots import Box


def test_the_main_face_is_the_one_that_the_close_up_holds() -> None:
    small, big = face(Box(0.1, 0.1, 0.2, 0.2)), face(Box(0.5, 0.1, 0.8, 0.5))
    both = Detections(faces=(small, big))
    assert main_face(both, Box(0.05, 0.05, 0.3, 0.3)) is small
    assert main_face(both, Box(0.0, 0.0, 1.0, 1.0)) is big
    assert main_face(both, Box(0.0, 0.8, 0.2, 1.0)) is big
    assert main_face(Detections(faces=(face(score=0.2),)), Box(0, 0, 1, 1)) is None


def test_the_main_person_is_the_one_whose_nose_is_nearest_the_head() -> None:
    lead = standing()
    behind = Person(Box(0.3, 0.05, 0.7, 0.95), 0.9, tuple(Keypoint(0.35, 0.6, 0.9) for _ in Joint))
    detections = Detections(persons=(behind, lead))
    assert main_person(detections, face().box) is lead
    assert main_person(detections, Box(0.9, 0.0, 1.0, 0.04)) is None


def test_a_face_that_the_close_up_hardly_holds_does_not_count_where_a_share_is_asked_for() -> None:
    beside = Detections(faces=(face(Box(0.25, 0.1, 0.45, 0.3)),))
    assert main_face(beside, Box(0.0, 0.0, 0.3, 0.5)) is beside.faces[0]
    assert main_face(beside, Box(0.0, 0.0, 0.3, 0.5), min_share=0.8) is None


def test_without_a_close_up_the_most_prominent_is_the_main_person() -> None:
    central, aside = face(Box(0.4, 0.3, 0.6, 0.5)), face(Box(0.0, 0.0, 0.2, 0.2))
    assert main_face(Detections(faces=(aside, central)), None) is central
    middle, edge = standing(), Person(Box(0.0, 0.1, 0.3, 0.9), 0.9, standing().keypoints)
    assert main_person(Detections(persons=(edge, middle)), None) is middle
    assert main_person(Detections(persons=(edge, middle)), None, min_score=0.95) is None
    assert main_face(Detections(), None) is None


def test_prominence_falls_with_distance_from_the_middle_and_grows_with_size() -> None:
    assert (
        prominence(Box(0.4, 0.4, 0.6, 0.6)) > prominence(Box(0.4, 0.7, 0.6, 0.9)) > prominence(Box(0.0, 0.4, 0.2, 0.6))
    )
    assert prominence(Box(0.3, 0.3, 0.7, 0.7)) > prominence(Box(0.4, 0.4, 0.6, 0.6))
