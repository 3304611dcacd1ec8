from urllib.parse import quote

import pytest

from convforge.compiler.compilation import compile as build
from convforge.errors import ArtifactError, DataError, InputError
from convforge.serving.service import Picture, open_service
from convforge.serving.settings import Settings


def test_pictures_get_what_the_runtime_predicts(service, scans):
    pictures = [Picture(path.name, path.read_bytes()) for path in scans]
    found = service.predict(pictures, top=3)
    assert found["model"] == "digits"
    assert found["ms"] >= max(image["ms"] for image in found["images"]) > 0
    for path, image in zip(scans, found["images"], strict=True):
        assert image["image"] == path.name
        expected = service.runtime.predict(path, top=3)
        assert image["predictions"] == [vars(one) for one in expected]


def test_all_pictures_that_cannot_be_used_are_named(service, scans):
    good = Picture("good.png", scans[0].read_bytes())
    bad = [Picture(f"{n}.png", b"") for n in range(12)]
    with pytest.raises(DataError, match=r"^3.png: is empty; expected one of JPEG"):
        service.predict([bad[3]], top=1)
    with pytest.raises(DataError) as caught:
        service.predict([good, *bad], top=1)
    said = str(caught.value)
    assert said.startswith("12 of 13 images cannot be used:\n  0.png: is empty")
    assert said.endswith("and 2 more")
    assert "good.png" not in said


def test_a_service_that_was_left_is_not_ready(make_service):
    with make_service() as service:
        assert service.ready
    assert not service.ready


def test_an_artifact_is_opened_by_its_name(artifact_file):
    with open_service(artifact_file, name=None, settings=Settings(), threads=1) as service:
        assert service.name == "digits"
    with open_service(artifact_file, name="x", settings=Settings(), threads=None) as service:
        assert service.name == "x"


@pytest.mark.parametrize("name", ["", ".", "..", "org/model", "/", "a%2Fb", "a\nb", "\udcff"])
def test_a_name_that_no_path_can_have_is_refused(artifact_file, name):
    with pytest.raises(InputError, match=r"the model's name is .*; expected .* --name"):
        open_service(artifact_file, name=name, settings=Settings(), threads=1)


@pytest.mark.parametrize("name", ["a b", "고양이", "a?b#c", "v1.2"])
def test_the_model_is_found_by_its_name(artifact_file, make_client, name):
    with open_service(artifact_file, name=name, settings=Settings(workers=1), threads=1) as service:
        answer = make_client(service).get(f"/v2/models/{quote(name)}")
        assert (answer.status_code, answer.json()["name"]) == (200, name)


def test_what_is_no_artifact_is_refused(classifier_file, artifact_file, tmp_path):
    def refuse(file, kind, words):
        with pytest.raises(kind, match=words):
            open_service(file, name=None, settings=Settings(), threads=None)

    refuse(tmp_path / "no.so", InputError, "no such file")
    refuse(classifier_file, InputError, r"compile it first: convforge compile .*digits.safetensors")
    cut = tmp_path / "cut.so"
    cut.write_bytes(artifact_file.read_bytes()[:5000])
    refuse(cut, ArtifactError, "cut short")
    bare = build("lenet5_relu", tmp_path / "bare.so").path
    refuse(bare, InputError, "compiled from a bare network")
