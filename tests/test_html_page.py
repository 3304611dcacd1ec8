from convforge.html_page import STYLE, html_page


def test_a_page_escapes_its_title_and_forbids_scripts_and_loading():
    page = html_page("<b>&", "<p>body</p>", style="p{color:red}")
    assert "<title>&lt;b&gt;&amp;</title>" in page
    assert page.startswith("<!doctype html>")
    assert "default-src 'none'" in page
    assert "script-src" not in page
    assert f"<style>{STYLE}p{{color:red}}</style></head><body><p>body</p></body></html>" in page
