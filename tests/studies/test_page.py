from convforge.studies.page import study_html, study_markdown


def test_the_page_says_all_and_loads_nothing(report):
    html = study_html(report)
    for words in (
        "A &lt;title&gt;",
        "<p class=soft>A source.</p><p class=soft>In the paper: 1 %.</p>",
        "one &amp; all",
        '<td class="verdict holds">holds</td>',
        '<td class="verdict does">does not hold</td>',
        "a rule",
        "<svg",
        "<td class=number>120,422,400</td>",
        "20.00 % ± 10.00",
        "A remark.",
        "2 x CPU",
        "<pre>convforge study depth --seeds 3</pre>",
    ):
        assert words in html
    assert "<title>A" not in html
    assert "http" not in html.replace("http-equiv", "")


def test_the_chapter_says_the_same(report):
    text = study_markdown(report, picture="depth.png")
    assert "| one & all | so much | **holds** | " in text
    assert "| another | so little | **does not hold** | a rule |" in text
    assert "(depth.png)" in text
    assert "| network | MACs | error |\n| :--- | ---: | ---: |" in text
    assert "| plain | 120,422,400 | 20.00 % ± 10.00 |" in text
    assert "`convforge study depth --seeds 3`: images digits; seeds 3." in text
    assert "machine 2 x CPU; seconds 1.5" in text
