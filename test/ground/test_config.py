"""One source of parameters: precedence, refusals that say what to write instead, round trips."""

import pytest

from seg2d3d_ros.config import Config, declarations, load_config, make_config
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.sections.presets import PRESETS


def test_command_line_beats_file_beats_preset_beats_default(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("/**:\n  ros__parameters:\n    reconstruction: {max_features: 999, max_pairs: 5}\n")
    config = load_config(preset="fast", file=file, overrides={"reconstruction.max_pairs": 7})
    assert config.reconstruction.max_image_size == 1000  # preset
    assert config.reconstruction.max_features == 999  # file over preset
    assert config.reconstruction.max_pairs == 7  # command line over file
    assert config.association == Config().association  # default


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("association.simlarity", 0.1, "did you mean 'association.similarity'"),
        ("association.similarity", 1.5, r"outside 0.0 … 1.0"),
        ("association.similarity", "high", "expected float"),
        ("association.similarity", float("nan"), "no number"),
        ("association.min_images", 2.5, "expected int"),
        ("association.min_images", True, "expected int"),
        ("association.method", "publisht", "did you mean 'published'"),
        ("segmentation.prompts", [1, 2], "list of texts"),
    ],
)
def test_bad_values_are_refused_with_the_way_out(key, value, message):
    with pytest.raises(UsageError, match=message):
        make_config({key: value})


def test_unknown_preset_and_unreadable_files(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'fast'"):
        load_config(preset="fasst")
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(file=tmp_path / "absent.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [")
    with pytest.raises(UsageError, match=r"bad\.yaml"):
        load_config(file=bad)
    bad.write_text("[1, 2]")
    with pytest.raises(UsageError, match="got list"):
        load_config(file=bad)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reconstruction: {max_features: 9.5}", "bad.yaml: reconstruction.max_features: expected int"),
        ("reconstruction: {max_featurs: 9}", "bad.yaml: unknown parameter"),
        (f"reconstruction: {{gps_sigma: {2**70}}}", r"bad.yaml: no usable YAML \(.*too large, line 1"),
        ("/**: {ros__parameters: [1, 2]}", "bad.yaml: expected 'section"),
        ("1: {2: 3}", "bad.yaml: unknown parameter '1.2'"),
        ("1: 2", "bad.yaml: unknown parameter '1'"),
        ("association: {method: " + "x" * 10_000 + "}", "bad.yaml: association.method: '.{0,70}… is none of"),
        ("segmentation: {prompts: &a [x, *a]}", "bad.yaml: no usable YAML .an alias for what it stands in, line 1"),
    ],
)
def test_a_parameter_file_is_named_with_what_is_wrong_in_it(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        load_config(file=path)
    assert len(str(caught.value)) < 600


def test_yaml_round_trip(tmp_path):
    config = make_config({"segmentation.prompts": ["building", "window"], "association.similarity": 0.2})
    file = tmp_path / "c.yaml"
    file.write_text(config.to_yaml())
    assert load_config(file=file) == config


def test_every_parameter_is_described_and_its_default_passes_its_own_check():
    for declaration in declarations().values():
        assert len(declaration.description) > 10, declaration.key
        assert declaration.check(declaration.default) == declaration.default


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("reconstruction.seed", "3", 3),
        ("association.similarity", "1", 1.0),
        ("segmentation.prompts", "building, tree", ("building", "tree")),
        ("association.method", "published", "published"),
    ],
)
def test_values_typed_on_a_command_line(key, text, value):
    assert declarations()[key].parse(text) == value


def test_every_preset_sets_known_parameters_to_other_values_than_the_default_and_says_why():
    assert {"vehicle", "walk", "drone", "archive"} <= set(PRESETS)
    default = Config().flat()
    for name, preset in PRESETS.items():
        config = load_config(preset=name).flat()
        changed = {key for key, value in config.items() if value != default[key]}
        assert changed == set(preset.values), name
        assert all(config[key] == value and len(why) > 10 for key, (value, why) in preset.values.items()), name
        assert (name == "default") == (not changed)


def test_an_option_wins_over_the_preset_and_the_effective_configuration_is_whole():
    config = load_config(preset="drone", overrides={"reconstruction.max_pairs": 5})
    assert (config.reconstruction.max_pairs, config.reconstruction.max_features) == (5, 8192)
    assert "max_features: 8192" in config.to_yaml()
