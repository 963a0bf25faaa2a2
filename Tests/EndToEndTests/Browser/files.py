"""What is shown of the page /files, a function each. See browser.py."""

import hashlib
import os
import re
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import expect

from everywhere import report
from pages import WIDTHS

LARGE = 200_000_000
HOSTILE = [
    "%3Cimg%20src%3Dx%20onerror%3Dwindow.owned%3D1%3E.txt",
    "new%0Aline%0D.txt",
    "left%E2%80%AEtxt.exe",  # right-to-left override
    "%FF%FE%C3bytes",
    "%22%27%CC%81quote%26amp%3B",
    "%1B%5D0%3Bowned%07",
    "-rf%20%2A",
    "%2525..%5C",
    "same", "same%E2%80%8B",  # with a space of no width
    "a" * 255,
]


def put(site, path, content, **headers):
    """Writes a file, as a program does."""
    data = content if isinstance(content, bytes) else content.encode()
    request = urllib.request.Request(f"{site.url}/v1/files/{path}?parents", data=data, method="PUT", headers={
        "Authorization": f"Bearer {site.token}", "Content-Type": "application/octet-stream", **headers})
    with urllib.request.urlopen(request, timeout=60) as response:
        response.read()


def get(site, path):
    request = urllib.request.Request(f"{site.url}/v1/files/{path}", headers={"Authorization": f"Bearer {site.token}"})
    with urllib.request.urlopen(request, timeout=60) as response:
        digest = hashlib.sha256()
        whole = b""
        while block := response.read(1 << 20):
            digest.update(block)
            whole = (whole + block)[:1 << 20]
    return whole, digest.hexdigest()


@contextmanager
def directory(site, name):
    """An empty directory in the home of a VM that is up, for one scenario."""
    site.call("POST", "/v1/vm/start")
    site.vm_until("running")
    forget(site, name)
    site.call("PATCH", f"/v1/files/{name}", {"directory": True})
    yield name
    forget(site, name)


def forget(site, name):
    try:
        site.call("DELETE", f"/v1/files/{name}?recursive")
    except AssertionError as error:
        if "was answered 404" not in str(error):
            raise


def large(site, name="large.bin"):
    """A file of this device, of bytes that nobody can guess."""
    path = Path(site.directory) / name
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(LARGE // 1_000_000):
            block = os.urandom(1_000_000)
            digest.update(block)
            file.write(block)
    return path, digest.hexdigest()


def row(page, name):
    return page.locator("#rows tr").filter(has=page.locator(".label > a, .label > button", has_text=re.compile(f"^{re.escape(name)}$")))


def transferring(site):
    path, digest = large(site)
    with directory(site, "transferring") as name, site.visit(f"/files?path={name}") as page:
        expect(page.locator("#rows")).to_contain_text("Nothing is here yet.")
        page.evaluate("""() => { window.far = new Set(); new MutationObserver(() => {
            for (const bar of document.querySelectorAll('#transfers progress')) window.far.add(bar.value) })
            .observe(document.getElementById('transfers'), { subtree: true, childList: true, characterData: true }) }""")
        begin = time.monotonic()
        page.set_input_files("#pick", str(path))
        expect(page.locator("#transfers")).to_contain_text("Done", timeout=240_000)
        print(f"200 MB up: {time.monotonic() - begin:.1f} s")
        far = page.evaluate("[...window.far]")
        assert len([share for share in far if 0 < share < 1]) >= 3, f"no progress was to be seen: {far}"
        expect(row(page, "large.bin")).to_contain_text("191 MB")
        begin = time.monotonic()
        with page.expect_download(timeout=240_000) as download:
            page.get_by_role("link", name="Download large.bin").click()
        saved = download.value.path()
        print(f"200 MB down: {time.monotonic() - begin:.1f} s")
        assert download.value.suggested_filename == "large.bin", download.value.suggested_filename
        with open(saved, "rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == digest, "not the same bytes"
        # What is there is replaced only by who says so.
        small = path.with_name("small") / "large.bin"
        small.parent.mkdir(exist_ok=True)
        small.write_text("small")
        page.get_by_role("button", name="Clear").click()
        page.set_input_files("#pick", str(small))
        page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
        expect(page.locator("#transfers-panel")).to_be_hidden()
        assert get(site, f"{name}/large.bin")[1] == digest
        page.set_input_files("#pick", str(small))
        page.get_by_role("dialog").get_by_role("button", name="Replace it").click()
        expect(row(page, "large.bin")).to_contain_text("5 B")
        assert get(site, f"{name}/large.bin")[0] == b"small"
        # Dropped files, one in a directory.
        page.evaluate("""() => { const transfer = new DataTransfer()
            transfer.items.add(new File(['dropped'], 'dropped & <b>.txt'))
            window.dispatchEvent(new DragEvent('dragenter', { dataTransfer: transfer, bubbles: true }))
            window.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true })) }""")
        expect(row(page, "dropped & <b>.txt")).to_contain_text("7 B")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download all").click()
        assert download.value.suggested_filename == f"{name}.tar", download.value.suggested_filename
    path.unlink()


def resuming(site):
    """Paused, the page closed, chosen again: it goes on where it was. So it does over a server that does not answer."""
    path, digest = large(site, "resumed.bin")
    with directory(site, "resuming") as name, site.visit(f"/files?path={name}") as page:
        before = uploads(site)
        told = page.locator("#transfers .told")
        page.set_input_files("#pick", str(path))
        page.wait_for_function("() => document.querySelector('#transfers progress')?.value > 0.05", timeout=120_000)
        page.get_by_role("button", name="Pause resumed.bin").click()
        expect(told).to_contain_text("Paused at")
        page.reload()
        expect(told).to_contain_text("Choose the same file again")
        expect(row(page, "resumed.bin")).to_have_count(0)
        offsets = []
        page.on("request", lambda request: offsets.append(int(parse_qs(urlsplit(request.url).query)["offset"][0]))
                if request.method == "PUT" else None)
        refused = []

        def refuse(route):
            if route.request.method == "PUT" and len(offsets) > 2 and len(refused) < 2:
                refused.append(route.request.url)
                return route.abort("connectionreset")
            return route.continue_()

        page.route("**/v1/files/**", refuse)
        other = path.with_name("other.bin")
        other.write_bytes(b"other")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose the file").click()
        chooser.value.set_files(str(other))
        expect(page.locator("#messages")).to_contain_text("That is another file")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose the file").click()
        chooser.value.set_files(str(path))
        expect(told).to_contain_text("Done", timeout=240_000)
        assert offsets and offsets[0] > 0, f"it began again: {offsets}"
        assert len(refused) == 2, refused
        assert get(site, f"{name}/resumed.bin")[1] == digest
        assert uploads(site) == before, "something is left over"
        page.reload()
        expect(page.locator("#transfers-panel")).to_be_hidden()
    path.unlink()


def uploads(site):
    """What is not whole yet."""
    try:
        return {file["name"] for file in site.call("GET", "/v1/files/.martlet-uploads?list")["files"]}
    except AssertionError as error:
        if "was answered 404" not in str(error):
            raise
        return set()


def arranging(site):
    with directory(site, "arranging") as name, site.visit("/files") as page:
        row(page, name).get_by_role("link", name=name, exact=True).click()
        assert page.url.endswith(f"/files?path={name}"), page.url
        page.get_by_role("button", name="New directory").click()
        page.fill("#name", "inner & co")
        page.get_by_role("button", name="Make it").click()
        expect(row(page, "inner & co")).to_have_count(1)
        put(site, f"{name}/one.txt", "one")
        put(site, f"{name}/two.txt", "two")
        page.get_by_role("button", name="Reload").click()
        page.get_by_role("button", name="Rename one.txt").click()
        page.fill("#name", "two.txt")
        page.locator("#name-ok").click()
        expect(page.locator("#name-problem")).to_contain_text("exists")
        page.fill("#name", f"{name}/inner & co/moved.txt")
        page.locator("#name-ok").click()
        expect(row(page, "one.txt")).to_have_count(0)
        assert get(site, f"{name}/inner%20%26%20co/moved.txt")[0] == b"one"
        page.get_by_role("button", name="Rename two.txt").click()
        expect(page.locator("#name")).to_have_value("two.txt")
        page.fill("#name", "2.txt")
        page.keyboard.press("Enter")
        expect(row(page, "2.txt")).to_have_count(1)
        page.get_by_role("button", name="Delete 2.txt").click()
        page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
        expect(row(page, "2.txt")).to_have_count(1)
        page.get_by_role("button", name="Delete 2.txt").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
        expect(row(page, "2.txt")).to_have_count(0)
        page.get_by_role("button", name="Delete inner & co").click()
        expect(page.get_by_role("dialog")).to_contain_text("everything in it")
        page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
        expect(page.locator("#rows")).to_contain_text("Nothing is here yet.")
        assert site.call("GET", f"/v1/files/{name}?list")["files"] == []
        page.go_back()
        expect(row(page, name)).to_have_count(1)


def editing(site):
    with directory(site, "editing") as name, site.visit(f"/files?path={name}") as page:
        page.get_by_role("button", name="New file").click()
        page.fill("#name", "notes.txt")
        page.keyboard.press("Enter")
        expect(page.locator("#edit-title")).to_have_text("notes.txt")
        page.fill("#text", "first\nsecond ü\n")
        expect(page.locator("#edit-state")).to_have_text("Changed")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#edit-state")).to_have_text("Saved")
        assert get(site, f"{name}/notes.txt")[0] == "first\nsecond ü\n".encode()
        # A program writes it meanwhile: nothing of that is lost without being asked.
        put(site, f"{name}/notes.txt", "of a program\n")
        page.fill("#text", "mine\n")
        page.keyboard.press("Control+s")
        expect(page.locator("#conflict")).to_contain_text("changed or removed elsewhere")
        assert get(site, f"{name}/notes.txt")[0] == b"of a program\n"
        page.get_by_role("button", name="Show theirs").click()
        expect(page.locator("#text")).to_have_value("of a program\n")
        expect(page.locator("#conflict")).to_be_hidden()
        put(site, f"{name}/notes.txt", "of a program again\n")
        page.fill("#text", "mine after all\n")
        page.keyboard.press("Control+s")
        page.get_by_role("button", name="Replace it with mine").click()
        expect(page.locator("#edit-state")).to_have_text("Saved")
        assert get(site, f"{name}/notes.txt")[0] == b"mine after all\n"
        page.fill("#text", "unsaved")
        page.keyboard.press("Escape")
        expect(page.get_by_text("Leave without saving?")).to_be_visible()
        page.get_by_role("button", name="Keep it").click()
        expect(page.locator("#text")).to_have_value("unsaved")
        page.get_by_role("button", name="Close").click()
        page.get_by_role("button", name="Leave it").click()
        expect(page.locator("#edit-dialog")).to_be_hidden()
        assert get(site, f"{name}/notes.txt")[0] == b"mine after all\n"
        # Line ends stay, and what is no text is not opened.
        put(site, f"{name}/dos.txt", "a\r\nb\r\n")
        put(site, f"{name}/mixed.txt", "a\r\nb\n")
        put(site, f"{name}/picture.bin", bytes(range(256)))
        put(site, f"{name}/long.txt", "x" * 600_000)
        page.get_by_role("button", name="Reload").click()
        page.get_by_role("button", name="dos.txt", exact=True).click()
        page.focus("#text")
        page.keyboard.press("Control+End")
        page.keyboard.type("c\n")
        page.keyboard.press("Control+s")
        expect(page.locator("#edit-state")).to_have_text("Saved")
        assert get(site, f"{name}/dos.txt")[0] == b"a\r\nb\r\nc\r\n", get(site, f"{name}/dos.txt")[0]
        page.keyboard.press("Escape")
        page.get_by_role("button", name="mixed.txt", exact=True).click()
        expect(page.locator("#edit-state")).to_contain_text("For reading only")
        page.keyboard.press("Escape")
        for file, why in [("picture.bin", "is no text"), ("long.txt", "is longer than 512 KB")]:
            page.get_by_role("button", name=file, exact=True).click()
            expect(page.locator("#messages")).to_contain_text(why)


def hostile_names(site):
    with directory(site, "hostile") as name:
        for each in HOSTILE:
            put(site, f"{name}/{each}", "x")
        put(site, f"{name}/%3Cb%3Edir%0A%E2%80%AE/inner", "x")
        with site.visit(f"/files?path={name}") as page:
            expect(page.locator("#rows tr")).to_have_count(len(HOSTILE) + 1)
            shown = page.eval_on_selector_all("#rows .label > *:nth-child(2)", "all => all.map((one) => one.textContent)")
            for text in ["<img src=x onerror=window.owned=1>.txt", r"new\nline\r.txt", r"left\u{202E}txt.exe", r"\xFF\xFE\xC3bytes",
                         "\"'\u0301quote&amp;", r"\x1B]0;owned\x07", "-rf *", "%25..\\", "same", r"same\u{200B}"]:
                assert text in shown, (text, shown)
            assert page.locator("#rows img, #rows b, dialog img").count() == 0
            assert page.evaluate("window.owned") is None
            # A name of any bytes is downloaded, renamed and removed as any other.
            with page.expect_download() as download:
                row(page, r"\xFF\xFE\xC3bytes").get_by_role("link", name="Download").click()
            assert Path(download.value.path()).read_text() == "x"
            row(page, r"new\nline\r.txt").get_by_role("button", name="Rename").click()
            expect(page.locator("#name")).to_have_value("newline.txt")
            page.locator("#name-ok").click()
            expect(row(page, "newline.txt")).to_have_count(1)
            for each in [shown[1], r"\xFF\xFE\xC3bytes", r"same\u{200B}"]:
                row(page, each).get_by_role("button", name="Delete").click()
                expect(page.locator("dialog[open]")).to_contain_text(each)
                page.get_by_role("button", name="Delete it").click()
                expect(row(page, each)).to_have_count(0)
            expect(row(page, "same")).to_have_count(1)
            expect(page.locator("#messages img")).to_have_count(0)
            row(page, r"<b>dir\n\u{202E}").locator(".label > a").click()
            expect(row(page, "inner")).to_have_count(1)
            expect(page.locator("#path")).to_contain_text(r"<b>dir\n\u{202E}")
            assert page.locator("#path b").count() == 0
            assert page.evaluate("window.owned") is None
        # An address cannot lead anywhere but to files.
        for path in ["..%2Ftokens", "%252e%252e%2Fvm", "a%2F..%2F..%2Fvm", "%3Cimg%20src%3Dx%3E"]:
            with site.visit(f"/files?path={path}") as page:
                expect(page.locator("#messages")).to_contain_text("names no path in the home")
                expect(page.locator("#path")).to_have_text("Home")


def by_keyboard(site):
    with directory(site, "keyboard") as name:
        put(site, f"{name}/inner/deep.txt", "deep")
        put(site, f"{name}/b.txt", "b")
        put(site, f"{name}/c.txt", "c")
        with site.visit("/files") as page:
            page.on("filechooser", lambda chooser: None)  # from the beginning: to ask for it takes longer than a key
            focused = lambda: page.evaluate("document.activeElement.textContent.trim()")  # noqa: E731
            press = page.keyboard.press

            def until(text, key="Tab", most=60):
                for _ in range(most):
                    if focused() == text:
                        return
                    press(key)
                raise AssertionError(f"{key} does not lead to {text}, but to {focused()}")

            expect(row(page, name)).to_have_count(1)
            press("Tab")
            until(name)
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", "nothing shows the focus"
            press("Enter")
            expect(row(page, "inner")).to_have_count(1)
            assert focused() == "inner", focused()
            press("Enter")
            expect(row(page, "deep.txt")).to_have_count(1)
            press("Backspace")
            expect(row(page, "b.txt")).to_have_count(1)
            page.wait_for_function("() => document.activeElement.textContent === 'inner'")
            press("ArrowDown")
            assert focused() == "b.txt", focused()
            press("End")
            assert focused() == "c.txt", focused()
            press("ArrowUp")
            press("F2")
            expect(page.locator("#name")).to_be_focused()
            page.keyboard.type("renamed")  # the ending stays: only what is before it was chosen
            press("Enter")
            expect(row(page, "renamed.txt")).to_have_count(1)
            page.wait_for_function("() => document.activeElement.textContent === 'renamed.txt'")
            press("Enter")
            expect(page.locator("#text")).to_be_focused()
            page.keyboard.type("typed ")
            press("Control+s")
            expect(page.locator("#edit-state")).to_have_text("Saved")
            press("Escape")
            expect(page.locator("#edit-dialog")).to_be_hidden()
            page.wait_for_function("() => document.activeElement.textContent === 'renamed.txt'")
            assert get(site, f"{name}/renamed.txt")[0] == b"typed b"
            press("Delete")
            expect(page.get_by_role("dialog")).to_contain_text("Delete renamed.txt?")
            assert focused() == "Keep it as it is", focused()
            press("Tab")
            press("Enter")
            expect(row(page, "renamed.txt")).to_have_count(0)
            page.wait_for_function("() => document.activeElement.closest('#rows')")
            page.evaluate("document.getElementById('main').focus()")
            until("New directory")
            press("Enter")
            page.keyboard.type("made")
            press("Enter")
            expect(row(page, "made")).to_have_count(1)
            page.evaluate("document.getElementById('main').focus()")
            until("Upload")
            with page.expect_file_chooser() as chooser:
                press("Enter")
            chooser.value.set_files({"name": "from.txt", "mimeType": "text/plain", "buffer": b"device"})
            expect(row(page, "from.txt")).to_have_count(1)


def sights(site):
    """As people see it, in both themes and on a telephone: nothing that keeps anybody from using it."""
    with directory(site, "sights") as name:
        for path in ["src/main.py", "data/a.csv", "README.md", "a-rather-long-name-of-a-file-that-says-nothing-at-all.tar.gz"]:
            put(site, f"{name}/{path}", f"print('{path}')\n" * 50)
        for each in HOSTILE[:5]:
            put(site, f"{name}/{each}", "x")
        for width, scheme in product(WIDTHS, ("light", "dark")):
            with site.visit(f"/files?path={name}", width=width, scheme=scheme) as page:
                expect(row(page, "README.md")).to_have_count(1)
                page.set_input_files("#pick", {"name": f"up-{width}-{scheme}.txt", "mimeType": "text/plain", "buffer": b"x" * 300_000})
                expect(page.locator("#transfers")).to_contain_text("Done")
                look(site, page, f"files-{width}-{scheme}")
                page.get_by_role("button", name="README.md", exact=True).click()
                page.fill("#text", "mine")
                put(site, f"{name}/README.md", f"theirs {width} {scheme}")
                page.get_by_role("button", name="Save").click()
                expect(page.locator("#conflict")).to_be_visible()
                look(site, page, f"files-edit-{width}-{scheme}")
                page.reload()
                page.get_by_role("button", name="Rename README.md").click()
                look(site, page, f"files-name-{width}-{scheme}")
                page.keyboard.press("Escape")
                page.get_by_role("button", name="Delete README.md").click()
                look(site, page, f"files-ask-{width}-{scheme}")


def look(site, page, name):
    page.wait_for_timeout(200)  # what moves has come to rest
    report(page, name)
    page.screenshot(path=f"{site.directory}/{name}.png")
