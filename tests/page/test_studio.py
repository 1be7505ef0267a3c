"""The studio in a real browser."""

from playwright.sync_api import Page, expect

from tests.page.conftest import violations


def test_opens(page: Page) -> None:
    page.goto("/")
    expect(page).to_have_title("Remove backgrounds")
    assert violations(page) is not None
