"""What is shown of terminals, a function each. See browser.py."""

import time
from itertools import product

from playwright.sync_api import expect

from everywhere import report
from pages import WIDTHS

LINES = """(count) => { const { terminal } = window.shells.find((shell) => !shell.screen.hidden)
    const buffer = terminal._core.buffer, lines = []
    for (let i = Math.max(0, buffer.lines.length - count); i < buffer.lines.length; i++)
        lines.push(buffer.translateBufferLineToString(i, true))
    return lines.join('\\n') }"""


def text(page, count=60):
    return page.evaluate(LINES, count)


def until(page, wanted, seconds=30, count=60):
    """Waits until the terminal shows something, and returns all that it shows."""
    deadline = time.monotonic() + seconds
    while wanted not in (shown := text(page, count)):
        assert time.monotonic() < deadline, f"no {wanted!r} in: {shown}"
        page.wait_for_timeout(50)
    return shown


def opened(page, seconds=60):
    expect(page.locator("#state")).to_have_text("Connected", timeout=seconds * 1000)


def cut(page):
    page.evaluate("() => { window.before = shells[0].socket; before.close() }")


def again(page):
    """Another socket is open."""
    deadline = time.monotonic() + 30
    while not page.evaluate("!!shells[0].socket && shells[0].socket !== window.before && shells[0].state === 'open'"):
        assert time.monotonic() < deadline, page.evaluate("shells[0].state")
        page.wait_for_timeout(50)
    expect(page.locator("#state")).to_have_text("Connected")


def line(page, command):
    page.keyboard.type(command)
    page.keyboard.press("Enter")


def end_all(site):
    for terminal in site.call("GET", "/v1/terminals")["terminals"]:
        site.call("DELETE", f"/v1/terminals/{terminal['id']}")


def terminal_use(site):
    with site.visit("/terminal") as page:
        opened(page)
        line(page, "PS1='$ '; echo $((6*7))-$TERM; stty size")
        until(page, "42-xterm-256color")
        size = page.evaluate("[shells[0].terminal.rows, shells[0].terminal.cols].join(' ')")
        until(page, size)
        line(page, "printf 'h\\303\\251llo \\346\\227\\245\\346\\234\\254 \\342\\202\\254 \\360\\237\\220\\246 e%sd\\n' n")
        shown = until(page, " end\n")
        assert "héllo" in shown and "日本" in shown and "€" in shown, shown
        page.keyboard.type("echo 'ünïcödé 日本'")
        page.keyboard.press("Enter")
        until(page, "\nünïcödé 日本")
        page.set_viewport_size({"width": 900, "height": 500})
        page.wait_for_timeout(300)
        smaller = page.evaluate("[shells[0].terminal.rows, shells[0].terminal.cols].join(' ')")
        assert smaller != size, size
        line(page, "clear; stty size")
        until(page, smaller)
        line(page, "top -d 0.3")
        until(page, "PID")
        page.wait_for_timeout(1000)
        page.keyboard.press("q")
        line(page, "echo af''ter")
        until(page, "after")
        line(page, "cat")
        page.evaluate("""() => { const data = new DataTransfer(); data.setData('text/plain', 'pasted text')
            document.activeElement.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true })) }""")
        until(page, "pasted text")
        page.keyboard.press("Control+c")
        begin = time.monotonic()
        line(page, "echo quick-$((1+1))")
        until(page, "quick-2")
        print(f"a line typed and answered in {(time.monotonic() - begin) * 1000:.0f} ms")
        page.keyboard.press("Control+Alt+t")
        expect(page.get_by_role("tab")).to_have_count(2)
        opened(page)
        line(page, "echo seco''nd")
        until(page, "second")
        page.keyboard.press("Control+Alt+ArrowLeft")
        until(page, "quick-2")
        line(page, "exit 5")
        expect(page.locator("#state")).to_have_text("Ended")
        until(page, "[the shell ended: exit 5]")
        page.get_by_role("button", name="Close this tab").click()
        expect(page.get_by_role("tab")).to_have_count(1)
        page.get_by_role("button", name="End this shell").click()
        page.get_by_role("button", name="End it").click()
        expect(page.get_by_role("tab")).to_have_count(0)
    assert site.call("GET", "/v1/terminals")["terminals"] == []


def terminal_again(site):
    with site.visit("/terminal") as page:
        opened(page)
        line(page, "KEPT=the-same; echo $$ > ~/pid; echo re''ady")
        until(page, "ready")
        cut(page)
        again(page)
        line(page, "echo $KEPT-$(test $$ = $(cat ~/pid) && echo shell)")
        shown = until(page, "the-same-shell")
        assert "ready" in shown, "what was printed before is there again"
        page.context.set_offline(True)
        cut(page)
        expect(page.locator("#state")).to_contain_text("Connection lost")
        page.context.set_offline(False)
        again(page)
        with site.visit("/terminal") as other:  # the same shell is found again, and taken over
            opened(other)
            until(other, "the-same-shell")
            expect(page.locator("#state")).to_have_text("Opened elsewhere")
        page.get_by_role("button", name="Connect again").click()
        again(page)
        line(page, "echo ba''ck")
        until(page, "back")
    end_all(site)


def terminal_output(site):
    with site.visit("/terminal") as page:
        opened(page)
        begin = time.monotonic()
        line(page, "head -c 7500000 /dev/urandom | base64 -w 99; echo al''l of it")  # 10 MB
        until(page, "all of it", 120)
        print(f"10 MB shown in {time.monotonic() - begin:.1f} s")
        line(page, "yes | head -c 100000000 > /dev/null; echo th''ere")
        until(page, "there")
        line(page, "yes")
        page.wait_for_timeout(1500)
        begin = time.monotonic()
        page.keyboard.press("Control+c")
        line(page, "echo sto''pped")
        until(page, "stopped", 30)
        took = time.monotonic() - begin
        print(f"a flood stopped in {took:.1f} s")
        assert took < 3, f"a flood was interrupted and went on for {took:.1f} s"  # alone on a machine: half a second
    end_all(site)


def terminal_hostile(site):
    with site.visit("/terminal", permissions=["clipboard-read", "clipboard-write"]) as page:
        opened(page)
        title = page.title()
        page.evaluate("navigator.clipboard.writeText('mine')")
        line(page, "PS1='$ '; clear")
        line(page, r"printf '\033]52;c;c3RvbGVu\007\033]0;<b>owned</b>\007\033]2;owned\007\033]52;c;?\007'; echo do''ne")
        until(page, "done")
        line(page, r"printf '\033[21t\033]8;;javascript:alert(1)\007link\033]8;;\007<img src=x onerror=alert(1)>\n'; echo en''d")
        shown = until(page, "end")
        assert "<img src=x onerror=alert(1)>" in shown
        page.wait_for_timeout(300)
        assert page.title() == title, page.title()
        assert page.evaluate("navigator.clipboard.readText()") == "mine"
        assert page.locator(".screens img, .screens a").count() == 0
        assert "owned" not in "\n".join(text(page).splitlines()[-3:]), "nothing is reported back"
    end_all(site)


def terminal_sights(site):
    for width, scheme in product(WIDTHS, ("light", "dark")):
        with site.visit("/terminal", width=width, scheme=scheme) as page:
            opened(page)
            line(page, "clear; ls --color=always -la / | head -12")
            page.wait_for_timeout(800)
            page.screenshot(path=f"{site.directory}/terminal-{width}-{scheme}.png")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{wide} wide at {width}"
            report(page, f"/terminal {width} {scheme}")
    end_all(site)
