"""The report page: complete, offline, safe whatever the names say, and the same again from a stored run."""

import base64
import itertools
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import StorageError
from modelwright.core.sections import Picture, Section, Table, TrainingOutcome
from modelwright.core.verdict import Finding, Grade, Verdict
from modelwright.runs.figures_in_words import duration, flattened, number, size
from modelwright.runs.report import rebuild_report, render_report
from modelwright.runs.store import RunStore

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;"
HOSTILE_SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


class Page(HTMLParser):
    """Tags with attributes, and text, in order; every tag that is opened is closed."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


@pytest.fixture
def run(store, settings, outcome):
    with store.start("event_rates", **settings) as run:
        run.write_outcome(outcome)
    return store.get(run.id)


def test_the_page_says_what_a_person_needs(run) -> None:
    page = Page(run.report_html.read_text())
    for expected in (
        "event_rates",
        run.run_id,
        "Can this result be trusted?",
        "chains differ",
        "good below 1.01",
        "Draw more.",
        "elpd loo −12,346",
        "pr auc –",
        "Rates of everyone",
        "Two sentences.",
        "Posterior means.",
        "zoë 1,235",
        "It goes up and down.",
        "Configuration draws 50",
        "seed 42",
        f"modelwright report {run.run_id}",
    ):
        assert expected in page.words, expected
    # The worst finding stands first, so that the eye meets it first.
    assert page.words.index("largest R-hat") < page.words.index("smallest bulk ESS")


def test_the_page_is_one_file_and_loads_nothing(run) -> None:
    text = run.report_html.read_text()
    page = Page(text)
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "svg", "form"} == set()
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in page.all("img"))
    assert len(page.all("img")) == 2
    assert all(link["href"].startswith("#") for link in page.all("a"))
    outside_pictures = re.sub(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"https?:|url\(|@import|\bon[a-z]+=", outside_pictures)
    policy = [entry["content"] for entry in page.all("meta") if "http-equiv" in entry]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_the_page_can_be_read_without_seeing_it(run) -> None:
    page = Page(run.report_html.read_text())
    assert page.all("html") == [{"lang": "en"}]
    assert [image["alt"] for image in page.all("img")] == ["A line called rates", "A line called model_graph"]
    assert len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes]
    assert set(named) <= set(ids)


def contrast(first: str, second: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_every_text_colour_has_the_contrast_wcag_asks_for(run) -> None:
    blocks = re.findall(r":root \{(.*?)\}", run.report_html.read_text(), flags=re.DOTALL)
    palettes = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in blocks]
    assert len(palettes) == 3  # light, dark, paper
    for palette in palettes:
        pairs = [(ink, ground) for ink in ("ink", "quiet", "accent") for ground in ("page", "card")]
        pairs += [(grade, f"{grade}-back") for grade in ("good", "warning", "problem", "unknown")]
        for ink, ground in pairs:
            # WCAG 2.2, success criterion 1.4.3, level AA: 4.5 for text of normal size.
            assert contrast(palette[ink], palette[ground]) >= 4.5, (ink, ground)


def hostile_outcome(text: str) -> TrainingOutcome:
    finding = Finding("f", text, 1.0, Grade.PROBLEM, text, text, text)
    picture = Picture("p", text, HOSTILE_SVG, "svg", text, text)
    section = Section(text, (text,), (Table(text, (text,), ((text,),), text),), (picture,))
    return TrainingOutcome(None, Verdict.of([finding]), {text: text}, (section,))


def test_markup_in_names_is_shown_and_not_obeyed(store) -> None:
    settings = {"configuration": {HOSTILE: HOSTILE}, "data": {"entities": [HOSTILE]}, "seeds": {HOSTILE: 1}}
    with store.start("event_rates", **settings) as run:
        run.write_outcome(hostile_outcome(HOSTILE))
    text = store.get(run.id).report_html.read_text()
    assert "<script" not in text
    page = Page(text)
    assert HOSTILE in page.words
    assert [image["alt"] for image in page.all("img")] == [HOSTILE]
    # A script inside a picture is carried as an image, where no browser runs it.
    assert (
        base64.b64decode(page.all("img")[0]["src"].split(",")[1])
        == hostile_outcome(HOSTILE).sections[0].pictures[0].content
    )


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])))
def test_no_name_breaks_the_page(run_manifest, text) -> None:
    page = Page(render_report(run_manifest, hostile_outcome(text)))
    assert {tag for tag, _ in page.tags} & {"script", "svg"} == set()
    assert [image["alt"] for image in page.all("img")] == [text]


@pytest.fixture(scope="module")
def run_manifest(tmp_path_factory):
    store = RunStore(tmp_path_factory.mktemp("project"))
    with store.start("event_rates", configuration={}, data={}, seeds={}) as run:
        pass
    return run.manifest


def test_a_stored_run_gives_the_same_page_again(run) -> None:
    assert rebuild_report(run) == run.report_html.read_text()


def test_the_twin_says_the_same_as_data(run, outcome) -> None:
    twin = json.loads(run.report_json.read_text())
    assert (twin["format"], twin["format_version"]) == ("modelwright-report", 1)
    assert twin["verdict"] == outcome.verdict.as_document()
    assert twin["sections"][0]["tables"][0]["rows"][2] == ["zoë", 1234.5678]
    assert twin["sections"][0]["pictures"][0]["name"] == "rates"
    assert twin["run"]["duration_seconds"] == run.manifest.duration_seconds


def test_a_page_whose_picture_is_gone_cannot_be_made_again(run) -> None:
    run.paths.at(f"diagrams/{run.run_id}/rates.svg").unlink()
    with pytest.raises(StorageError, match=r"rates\.svg is damaged: it is missing; train again"):
        rebuild_report(run)


def test_a_good_verdict_and_an_empty_one_have_their_page(run_manifest) -> None:
    good = Verdict.of([Finding("f", "largest R-hat", 1.001, Grade.GOOD, "good below 1.01", "chains agree")])
    assert "good every check passed" in Page(render_report(run_manifest, TrainingOutcome(None, good))).words
    nothing = Page(render_report(run_manifest, TrainingOutcome(None, Verdict.of([]))))
    assert "unknown nothing was checked" in nothing.words


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"), (0.0, "0"), (-3, "−3"), (0.1, "0.1"), (1 / 3, "0.3333"), (999.96, "1,000"), (123456.7, "123,457"),
        (-0.00012344, "−0.0001234"), (5e-7, "5.000e-07"), (2e20, "2.000e+20"), (10**20, "1.000e+20"),
        (float("inf"), "∞"), (float("nan"), "–"), (False, "no"), ("", ""),
    ],
)  # fmt: skip
def test_numbers_read_well(value, expected) -> None:
    assert number(value) == expected


# Beyond 1e308 the rounded number may be larger than any float.
@given(st.floats(-1e308, 1e308))
def test_a_written_number_is_the_number_to_four_digits(value) -> None:
    back = float(number(value).replace("−", "-").replace(",", ""))
    # Four significant digits: half a unit of the fourth, relative to the leading digit.
    assert back == pytest.approx(value, rel=5.1e-4)


def test_spans_sizes_and_settings_read_well() -> None:
    assert [duration(seconds) for seconds in (0, 59.94, 60, 3599.6, 360_000)] == [
        "0 s",
        "59.9 s",
        "1 min 0 s",
        "1 h 0 min",
        "100 h 0 min",
    ]
    assert [size(count) for count in (0, 1023, 1024, 5 * 2**40)] == ["0 B", "1023 B", "1.0 KiB", "5.0 TiB"]
    assert flattened({"a": {}, "b": [], "c": None, "seed": 20240101, "many": list(range(20))}) == [
        ("a", "–"),
        ("b", "–"),
        ("c", "–"),
        ("seed", "20240101"),
        ("many", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more"),
    ]
