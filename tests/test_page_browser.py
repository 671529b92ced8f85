"""The listening page in a real browser: plays, switches in place, shuffles by seed, exports, and asks nobody for anything."""

import asyncio
import csv

import pytest
from browser import Page, find_chromium, wait_for
from page_folders import speech_folder

from asteroid_bsrnn.report import build_page

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_chromium() is None, reason="needs chromium")]

HEARD = "[...page.player.sounds].filter(([id, audio]) => !audio.muted && !audio.paused).map(([id]) => id)"
SPREAD = (
    "Math.max(...[...page.player.sounds.values()].map((audio) => Math.abs(audio.currentTime - page.player.position)))"
)
TRIALS = "abx.makeTrials(%s, 12, true).map((t) => [t.clip.name, t.group.source, t.a.label, t.b.label, t.x].join())"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    speech_folder(folder / "sounds", seconds=30.0)
    return build_page([folder / "sounds"], folder / "page").as_uri()


def in_browser(tmp_path, url, check):
    async def go():
        async with Page(tmp_path / "profile") as browser:
            await browser.open(url)
            await check(browser)
            assert browser.errors() == []
            assert browser.requested() and all(
                address.startswith(("file:", "data:", "blob:")) for address in browser.requested()
            )

    (tmp_path / "profile").mkdir()
    asyncio.run(go())


def test_plays_and_switches_at_the_same_position(url, tmp_path):
    async def check(browser):
        tracks = await browser.run(
            "[...document.querySelectorAll('#clip1 .group:first-child .track')].map((b) => b.dataset.track)"
        )
        await browser.run("document.querySelector('#clip1 .play').click()")
        await browser.until("page.player && page.player.playing && page.player.position > 0.5")
        assert await browser.run(HEARD) == [tracks[0]]
        await browser.until(f"{SPREAD} < 0.1")
        before, after = await browser.run(
            f"(() => {{ const before = page.player.position; choose('{tracks[2]}', true); return [before, page.player.position]; }})()"
        )
        assert abs(after - before) < 0.1
        assert await browser.run(HEARD) == [tracks[2]]
        assert await browser.run(f"document.getElementById('{tracks[2]}').getAttribute('aria-pressed')") == "true"
        assert await browser.run("document.querySelector('#clip1 .now').textContent") == "Bad · s1"
        at = await browser.run("page.player.position")
        await browser.until(f"page.player.position > {at} + 0.2")  # and it goes on from there

        await browser.run("document.querySelector('#clip1 .group:nth-child(2) .track:nth-child(2)').click()")
        assert await browser.run("page.player.position") >= at  # the other source starts where the first one was
        await browser.until("page.player.playing && page.player.position > 0")
        await browser.run("document.querySelector('#clip1 .play').click()")
        assert await browser.run("page.player.playing") is False

    in_browser(tmp_path, url, check)


def test_keys(url, tmp_path):
    async def check(browser):
        await browser.key(" ")
        await browser.until("page.player && page.player.playing")
        await browser.key("2")
        assert await browser.run("find(page.player.current).track.label") == "Reference"
        await browser.key("ArrowDown")
        assert await browser.run("find(page.player.current).track.label") == "Bad"
        await browser.key(" ")
        assert await browser.run("page.player.playing") is False
        await browser.run("seek(3)")
        await browser.key("ArrowLeft")
        assert abs(await browser.run("page.player.position") - 2) < 0.05
        await browser.key("]")
        assert await browser.run("page.group.source") == "s2"
        assert abs(await browser.run("page.player.position") - 2) < 0.05
        theme = await browser.run("document.documentElement.dataset.theme")
        await browser.run("document.getElementById('theme').click()")
        assert await browser.run("document.documentElement.dataset.theme") != theme

    in_browser(tmp_path, url, check)


def test_blind_test_is_seeded_and_exported(url, tmp_path):
    async def check(browser):
        first = await browser.run(TRIALS % 1)
        assert first == await browser.run(TRIALS % 1) and first != await browser.run(TRIALS % 2)
        assert {trial.split(",")[-1] for trial in first} == {"a", "b"}
        assert not any(
            "Copied" in trial for trial in first if "clip one,s1" in trial
        )  # a copy of a reference takes no part

        await browser.run(
            "document.getElementById('abx-seed').value = 7; document.getElementById('abx-count').value = 3"
        )
        await browser.run("document.getElementById('abx-start').click()")
        text = await browser.run("document.getElementById('abx').textContent")
        assert "Good" not in text and "Bad" not in text
        await browser.key("x")
        await browser.until("abx.player.playing && abx.player.position > 0.2")
        await browser.key("a")
        assert await browser.run("abx.player.current") == "a"
        truth = await browser.run("abx.trials.map((trial) => trial.x)")
        await browser.run("document.querySelector(`.abx-answer[data-answer='${abx.trials[0].x}']`).click()")
        await browser.key("A", shift=True)
        await browser.key("B", shift=True)
        assert "of 3 right" in await browser.run("document.getElementById('abx-result').textContent")

        await browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "saved"))
        await browser.run("document.getElementById('abx-export').click()")
        saved = tmp_path / "saved" / "abx_seed_7.csv"
        await wait_for(lambda: saved.exists() and saved.stat().st_size > 0, browser.process)
        with open(saved, encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        assert [row["x"] for row in rows] == truth and [row["answer"] for row in rows] == [truth[0], "a", "b"]
        assert rows[0]["correct"] == "1" and rows[0]["seed"] == "7" and int(rows[0]["listens_x"]) == 1
        assert all(int(row["correct"]) == (row["answer"] == row["x"]) for row in rows)

    in_browser(tmp_path, url, check)
