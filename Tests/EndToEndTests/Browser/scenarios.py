"""What is shown of the pages, a function each. See browser.py; what holds of every page is in everywhere.py."""

import time

from playwright.sync_api import expect

from browser import finished, run_code, shift, write_code
from world import HOSTILE_PROGRAM, MARKUP, public_key


def signing_in(site):
    with site.visit("/my-vm?x=1", signed_in=False) as page:
        assert page.url == site.url + "/login?next=/my-vm%3Fx%3D1", page.url
        expect(page.locator("#token")).to_be_focused()
        page.keyboard.type("mlt_wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("unknown, revoked or expired")
        page.fill("#token", site.token)
        page.keyboard.press("Enter")
        page.wait_for_url(site.url + "/my-vm?x=1")
        assert page.evaluate("document.cookie") == "", "scripts cannot read the session"
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(site.url + "/login")
        page.goto("/")
        assert "/login" in page.url
    with site.visit(site.link, signed_in=False) as page:
        page.reload()
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(site.url + "/")
    with site.visit(site.link, signed_in=False) as page:
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("used already")
    # Who is suspended is told so, here and where a session was, and may go.
    other = site.call("POST", "/v1/admin/users", {"name": f"suspended-{time.time_ns()}"})["user"]
    token = site.call("POST", f"/v1/admin/users/{other['id']}/tokens", {"name": "browser"})["token"]
    own, site.token = site.token, token
    with site.visit("/my-vm") as page:
        site.call("POST", f"/v1/admin/users/{other['id']}/suspend", token=own)
        page.get_by_role("button", name="Make my VM").click()
        expect(page.locator("#messages")).to_contain_text("Your account is suspended.")
        page.reload()
        expect(page.locator("main")).to_contain_text("ask an admin")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(site.url + "/login")
        page.fill("#token", token)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("Your account is suspended.")
        page.fill("#token", token[:-1] + ("A" if token[-1] != "A" else "B"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("unknown, revoked or expired")
    site.token = own


def streaming(site):
    with site.visit() as page:
        page.wait_for_load_state("networkidle")
        sizes = page.evaluate("""() => [...performance.getEntriesByType('navigation'),
            ...performance.getEntriesByType('resource')].map((entry) => entry.decodedBodySize)""")
        size = sum(sizes)
        print(f"first page: {size / 1024:.0f} KB in {len(sizes)} answers")
        assert 20_000 < size < 300 * 1024, size
        write_code(page, "python", "import time\nfor i in range(1, 7):\n    print('line', i)\n    time.sleep(0.25)\n")
        page.wait_for_timeout(600)  # what is typed may move things for half a second
        begin = page.evaluate("performance.now()")
        page.evaluate("""() => { window.seen = new Set(); new MutationObserver(() => window.seen.add(
            document.getElementById('output').textContent)).observe(document.getElementById('output'),
            { childList: true, subtree: true, characterData: true }) }""")
        page.focus("#code")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#run")).to_contain_text("Cancel")
        finished(page)
        seen = sorted(page.evaluate("[...window.seen].filter((text) => text.startsWith('line'))"), key=len)
        assert seen[-1] == "".join(f"line {i}\n" for i in range(1, 7)), seen
        assert len({text.count("\n") for text in seen}) >= 5, f"lines did not come one by one: {seen}"
        expect(page.locator("#exit")).to_contain_text("CPU")
        expect(page.locator("#status")).to_have_text("Done")
        expect(page.locator("#run")).to_contain_text("Run")
        expect(page.locator("#history a").first).to_contain_text("exit 0")
        moved, what = shift(page, begin)
        print(f"layout shift while output streamed: {moved}")
        assert moved == 0, what
        page.get_by_role("link", name="Link", exact=True).click()
        expect(page.locator("#run-code")).to_contain_text("time.sleep")
        expect(page.locator("#run-output")).to_contain_text("line 6")
        run = page.url
        page.get_by_role("link", name="Open in the playground").click()
        expect(page.locator("#code")).to_have_value("import time\nfor i in range(1, 7):\n    print('line', i)\n    time.sleep(0.25)\n")
    other = site.call("POST", "/v1/admin/users", {"name": f"other-{time.time_ns()}"})["user"]
    made = site.call("POST", f"/v1/admin/users/{other['name']}/tokens", {"name": "browser"})
    own, site.token = site.token, made["token"]
    with site.visit(run) as page:
        expect(page.locator("h1")).to_have_text("There is nothing here")
    site.token = own


def streaming_on_a_phone(site):
    with site.visit(width=390, height=844) as page:
        write_code(page, "python", "import time\nfor i in range(40):\n    print('line', i, 'x' * (i * 7))\n    time.sleep(0.05)\n")
        page.wait_for_timeout(600)  # what is typed may move things for half a second
        begin = page.evaluate("performance.now()")
        page.get_by_role("button", name="Run").click()
        finished(page)
        expect(page.locator("#output")).to_be_in_viewport()
        expect(page.locator("#output")).to_contain_text("line 39")
        moved, what = shift(page, begin)
        print(f"layout shift while output streamed: {moved}")
        assert moved == 0, what


def cancelling(site):
    with site.visit() as page:
        run_code(page, "bash", "echo begun; sleep 600; echo never")
        expect(page.locator("#output")).to_contain_text("begun")
        page.get_by_role("button", name="Cancel").click()
        begin = time.monotonic()
        expect(page.locator("#status")).to_have_text("Cancelled", timeout=5_000)
        print(f"cancelled in {(time.monotonic() - begin) * 1000:.0f} ms")
        expect(page.locator("#exit")).to_contain_text("cancelled")
        expect(page.get_by_role("button", name="Run")).to_be_enabled()
        run_code(page, "bash", "exit 3")
        finished(page, "exit 3")


def typing(site):
    with site.visit() as page:
        run_code(page, "python", "name = input('who? ')\nprint(f'hello {name}')\nimport sys\nprint(len(sys.stdin.read()))\n")
        expect(page.locator("#output")).to_contain_text("who?")
        page.fill("#line", "Ada <b>")
        page.press("#line", "Enter")
        expect(page.locator("#output")).to_contain_text("hello Ada <b>")
        page.fill("#line", "four")
        page.press("#line", "Enter")
        page.click("#end-input")
        finished(page)
        expect(page.locator("#output")).to_contain_text("5")
        page.fill("#stdin", "from the box")
        page.click("#tab-args")
        page.fill("#args", "one\ntwo words")
        page.click("#tab-files")
        page.click("#file-new")
        page.fill("#files input", "data/x.txt")
        page.fill("#files textarea", "in the file")
        page.click("#tab-more")
        page.fill("#variables", "GREETING=a=b")
        run_code(page, "python", "import sys, os\nprint(sys.stdin.read(), sys.argv[1:], open('data/x.txt').read(), os.environ['GREETING'])")
        finished(page)
        expect(page.locator("#output")).to_contain_text("from the box ['one', 'two words'] in the file a=b")


def waking(site):
    site.call("POST", "/v1/vm/start")
    site.vm_until("running")
    site.call("POST", "/v1/vm/stop")
    site.vm_until("stopped")
    with site.visit() as page:
        page.evaluate("""() => { window.said = []; new MutationObserver(() => window.said.push(
            document.getElementById('status').textContent)).observe(document.getElementById('status'), { childList: true }) }""")
        begin = time.monotonic()
        run_code(page, "python", "print('awake')")
        expect(page.locator("#output")).to_contain_text("awake", timeout=60_000)
        print(f"from asleep to its output: {(time.monotonic() - begin) * 1000:.0f} ms")
        finished(page)
        said = page.evaluate("window.said")
        assert "Waking your VM" in said, said
    assert site.vm_until("running")


def my_vm(site):
    if site.call("GET", "/v1/vm")["vm"]:
        site.call("POST", "/v1/vm/start")
        site.vm_until("running")
        site.call("DELETE", "/v1/vm")
        site.vm_until(None)
    with site.visit("/my-vm") as page:
        expect(page.locator("#none")).to_contain_text("You have no VM yet.")
        page.evaluate("""() => { window.said = new Set(); new MutationObserver(() => window.said.add(
            document.getElementById('vm-state').textContent)).observe(document.getElementById('vm-state'),
            { childList: true, attributes: true }) }""")
        page.get_by_role("button", name="Make my VM").click()
        state = page.locator("#vm-state")
        expect(state).to_have_text("running", timeout=60_000)
        assert "being made" in page.evaluate("[...window.said]"), page.evaluate("[...window.said]")
        expect(page.locator("#log")).to_contain_text("Provisioning complete")
        expect(page.locator("#vm-facts")).to_contain_text("vCPU")
        expect(page.locator("#audit")).to_contain_text("create")
        # Another window is told of what is done in this one, and of what a program does.
        with page.context.expect_page() as opened:
            page.evaluate("window.open('/my-vm')")
        other = opened.value
        other.wait_for_load_state("load")
        other.evaluate("Object.defineProperty(document, 'hidden', { get: () => false })")
        other.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(other.locator("#vm-state")).to_have_text("running")
        page.bring_to_front()
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(state).to_have_text("asleep", timeout=60_000)
        expect(other.locator("#vm-state")).to_have_text("asleep", timeout=15_000)
        other.close()
        page.get_by_role("button", name="Start", exact=True).click()
        expect(state).to_have_text("running", timeout=60_000)
        expect(page.locator("#vm-facts")).to_contain_text("Stops when idle")
        # Another environment, with a name that would be HTML.
        page.get_by_role("button", name="New environment").click()
        page.fill("#new-name", MARKUP)
        page.fill("#new-hours", "2")
        page.fill("#new-variables", "GREETING=hello")
        page.fill("#new-script", "echo no such package; exit 3")
        page.get_by_role("button", name="Make it").click()
        row = page.locator("#environments tr").filter(has_text="<img src=x")
        expect(row).to_contain_text("running", timeout=60_000)
        expect(row).to_contain_text("in 2 hours")
        assert page.locator("#environments img").count() == 0
        # Its script failed: that is told here, and what it printed.
        expect(row).to_contain_text("The init script failed (exit code 3)", timeout=60_000)
        row.locator("button.row").click()
        opened = page.locator("#detail")
        for text in ["failed", "GREETING", "no such package", "setup failed", "create"]:
            expect(opened).to_contain_text(text)
        opened.get_by_role("link", name="Run code in it").click()
        expect(page.locator("#environment")).to_be_visible()
        run_code(page, "bash", "echo $GREETING")
        finished(page)
        expect(page.locator("#output")).to_have_text("hello\n")
        page.goto("/my-vm")
        row.get_by_role("button", name="Destroy").click()
        expect(page.get_by_role("dialog")).to_contain_text(MARKUP)
        page.keyboard.press("Escape")
        expect(row).to_contain_text("running")
        row.get_by_role("button", name="Destroy").click()
        page.get_by_role("button", name="Destroy it").click()
        expect(row).to_have_count(0, timeout=60_000)
        page.get_by_role("button", name="Destroy", exact=True).click()
        page.get_by_role("button", name="Destroy it").click()
        expect(page.locator("#none")).to_be_visible(timeout=60_000)
        site.vm_until(None)
        page.get_by_role("button", name="Make my VM").click()
        expect(state).to_have_text("running", timeout=60_000)


def ssh_keys(site):
    """The keys that the visitor's own ssh logs in with: added by pasting a line, listed, and removed."""
    keys = lambda: site.call("GET", "/v1/ssh-keys")["keys"]
    for key in keys():
        site.call("DELETE", f"/v1/ssh-keys/{key['id']}")
    site.call("POST", "/v1/vm/start")
    site.vm_until("running")
    with site.visit("/my-vm", permissions=["clipboard-read", "clipboard-write"]) as page:
        sent = []
        page.on("request", lambda request: sent.append(request.post_data or "") if request.method == "POST" else None)
        card = page.locator("#ssh")
        rows = card.locator("#ssh-keys tr")
        complaint = card.get_by_role("alert")
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text("None yet: nobody gets in by SSH.")
        expect(card.locator("#ssh-setup")).to_have_text("martlet key add\nmartlet ssh-config --write")
        expect(card.locator("#ssh-use")).to_contain_text("ssh martlet\n")

        def add(text, name=None):
            page.evaluate("(text) => navigator.clipboard.writeText(text)", text)
            page.get_by_label("Public key").focus()
            page.keyboard.press("Control+a")
            page.keyboard.press("Control+v")
            if name:
                card.get_by_label("Name").fill(name)
            card.get_by_role("button", name="Add key").click()

        line, fingerprint = public_key("me@laptop")
        add(line)
        first = rows.filter(has_text=fingerprint)
        expect(first).to_contain_text("me@laptop")
        expect(first).to_contain_text("Ed25519")
        expect(rows).to_have_count(1)
        expect(page.get_by_label("Public key")).to_have_value("")
        expect(complaint).to_be_hidden()
        assert [key["fingerprint"] for key in keys()] == [fingerprint]
        # The key of the VM itself, which 'ssh' asks about.
        own = next(each for each in site.call("GET", "/v1/ssh/hosts")["hosts"] if each["isOwnVM"])
        expect(card.locator("#ssh-host")).to_contain_text(own["fingerprint"])

        # What is no key is told where it was pasted, which stays as it was.
        other, _ = public_key("other")
        for bad, said in [
            ("not a key at all", "not a public key of a kind that is taken"), (line, "is there already, as 'me@laptop'"),
            (other[:50], "not whole"), (f"{other}\n{line}", "A public key is one line."),
            (f'command="sh" {other}', "options before the key"),
        ]:
            add(bad)
            expect(complaint).to_contain_text(said)
            expect(page.get_by_label("Public key")).to_have_value(bad)
            expect(page.get_by_label("Public key")).to_have_attribute("aria-invalid", "true")
        private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END OPENSSH PRIVATE KEY-----"
        sent.clear()
        add(private)
        expect(complaint).to_contain_text("That is a private key, and was not sent.")
        assert not any("b3BlbnNzaC1rZXk" in each for each in sent), "a private key has left the browser"
        assert [key["fingerprint"] for key in keys()] == [fingerprint]

        # A comment is anybody's text: it is shown, and does nothing. A name that is given comes before it.
        hostile, hostile_print = public_key(f"{MARKUP} \u202e")
        add(hostile)
        second = rows.filter(has_text=hostile_print)
        expect(second).to_contain_text("<img src=x onerror=window.owned=1>")
        expect(complaint).to_be_hidden()
        assert "\u202e" not in card.inner_text(), "a name turns the line around"
        add(other, name="desk")
        expect(rows.nth(2)).to_contain_text("desk")
        expect(card.get_by_label("Name")).to_have_value("")

        # Removing asks first, by the same name.
        second.get_by_role("button", name="Remove").click()
        question = page.get_by_role("dialog")
        expect(question).to_contain_text("<img src=x onerror=window.owned=1>")
        assert page.locator("#ssh img, dialog img").count() == 0 and page.evaluate("window.owned") is None
        page.keyboard.press("Escape")
        expect(question).to_have_count(0)
        second.get_by_role("button", name="Remove").click()
        question.get_by_role("button", name="Keep it as it is").click()
        expect(rows).to_have_count(3)
        second.get_by_role("button", name="Remove").click()
        question.get_by_role("button", name="Remove it").click()
        expect(second).to_have_count(0)
        expect(page.get_by_label("Public key")).to_be_focused()
        assert [key["name"] for key in keys()] == ["me@laptop", "desk"]
        for name in ("me@laptop", "desk"):
            card.get_by_role("button", name=f"Remove {name}").click()
            question.get_by_role("button", name="Remove it").click()
            expect(question).to_have_count(0)
        expect(rows).to_contain_text("None yet: nobody gets in by SSH.")
        assert keys() == [] and page.evaluate("window.owned") is None
        # A VM that is made anew has another key, which is told without loading the page again.
        page.get_by_role("button", name="Destroy", exact=True).click()
        page.get_by_role("button", name="Destroy it").click()
        expect(page.locator("#none")).to_be_visible(timeout=60_000)
        expect(card.locator("#ssh-host")).to_be_empty()
        page.get_by_role("button", name="Make my VM").click()
        expect(page.locator("#vm-state")).to_have_text("running", timeout=60_000)
        expect(card.locator("#ssh-host")).to_contain_text("SHA256:")
        assert own["fingerprint"] not in card.inner_text(), "the host key of a VM that is gone"


def hostile_output(site):
    with site.visit(permissions=["clipboard-read", "clipboard-write"]) as page:
        page.evaluate("navigator.clipboard.writeText('mine')")
        run_code(page, "python", HOSTILE_PROGRAM)
        finished(page)
        output = page.locator("#output")
        text = output.text_content()
        assert "<script>window.owned=1</script><img src=x" in text, text
        for part in ["click\n", "red plain  kept\n", "after\n", "left right  31m end", "\n100%\n", "green error"]:
            assert part in text, (part, text)
        for part in ["\x1b", "owned\x07", "middle", "\u202e", "10%\r", "dcs"]:
            assert part not in text, (part, text)
        assert page.evaluate("window.owned") is None
        assert page.title() == "Playground · Martlet", page.title()
        assert page.evaluate("navigator.clipboard.readText()") == "mine"
        assert page.locator("#output :not(span)").count() == 0, "only text in spans"
        expect(output.locator(".c1")).to_have_text("red")
        page.get_by_role("link", name="Link", exact=True).click()
        expect(page.locator("#run-output")).to_contain_text("<script>window.owned=1</script>")
        assert page.evaluate("window.owned") is None and page.title() == "Run · Martlet"
        assert page.locator("#run-output :not(span)").count() == 0


def long_output(site):
    with site.visit() as page:
        run_code(page, "python", "for i in range(200000):\n    print(f'{i:08d} ' + 'x' * 40)\n")
        finished(page)
        expect(page.locator("#output")).to_contain_text("00199999")
        length = page.evaluate("document.getElementById('output').textContent.length")
        print(f"of 10 MB of output the page keeps {length / 2**20:.2f} M characters")
        assert length <= 2 << 20, length
        expect(page.locator("#exit")).to_contain_text("last 2 MB")
        begin = time.monotonic()
        page.evaluate("1")
        assert time.monotonic() - begin < 1, "the page does not answer"


def colouring(site):
    with site.visit() as page:
        plain = []
        for name in page.eval_on_selector_all("#language option", "all => all.map((one) => one.value)"):
            page.select_option("#language", name)
            try:
                page.wait_for_function("""() => document.querySelector('#paint span')
                    && document.getElementById('paint').textContent === document.getElementById('code').value + '\\n'""",
                    timeout=15_000)
            except Exception:
                plain.append(name)
        assert not plain, f"not coloured: {plain}"
        # The caret and the colours stay together, and Tab indents without trapping whoever wants out.
        write_code(page, "python", "if x:")
        page.focus("#code")
        page.keyboard.press("End")
        page.keyboard.press("Enter")
        page.keyboard.type("y")
        page.keyboard.press("Tab")
        assert page.input_value("#code") == "if x:\n    y    ", repr(page.input_value("#code"))
        page.keyboard.press("Escape")
        page.keyboard.press("Tab")
        expect(page.locator("#tab-input")).to_be_focused()


def keyboard(site):
    with site.visit() as page:
        page.evaluate("document.activeElement.blur()")
        order = []
        for _ in range(28):
            page.keyboard.press("Tab")
            order.append(page.evaluate("""() => { const at = document.activeElement
                if (at.id === 'code') return 'code'
                return at.id || at.getAttribute('aria-label') || at.textContent.trim().slice(0, 30) }"""))
            if order[-1] == "code":
                page.keyboard.press("Escape")
            outline = page.evaluate("""() => { const at = document.activeElement
                const seen = (element) => { const style = getComputedStyle(element)
                    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 || style.boxShadow !== 'none' }
                return seen(at) || (at.closest('.editor') && seen(at.closest('.editor'))) || at === document.body }""")
            assert outline, f"nothing shows that {order[-1]} has the focus"
        expected = ["Skip to the content", "Martlet", "Playground", "My VM"]
        assert order[:4] == expected, order
        wanted = ["theme", "Sign out", "language", "example", "run", "code", "tab-input", "stdin", "copy", "output"]
        places = [order.index(name) for name in wanted]
        assert places == sorted(places), order
        page.goto("/")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.locator("#language")).to_be_focused()
        page.focus("#tab-input")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#tab-args")).to_be_focused()
        expect(page.locator("#args")).to_be_visible()
    with site.visit(scheme="light") as page:
        page.get_by_role("button", name="Switch between light and dark").click()
        dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        page.reload()
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == dark
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def administering(site):
    hostile = f"{MARKUP}{time.time_ns() % 100_000}"
    with site.visit("/admin/users") as page:
        page.get_by_role("button", name="New user").click()
        page.get_by_label("Name", exact=True).fill(hostile)
        page.get_by_role("button", name="Make the user").click()
        expect(page.locator("#detail-title")).to_have_text(hostile)
        page.get_by_label("Name of a new token").fill("first")
        page.get_by_role("button", name="Make a token").click()
        expect(page.locator(".secret")).to_contain_text("mlt_")
        token = page.locator(".secret").text_content()
        page.get_by_role("dialog").get_by_label("Tier").select_option("pro")
        page.get_by_role("button", name="Change", exact=True).click()
        expect(page.locator("#messages")).to_contain_text("was changed")
        page.get_by_role("button", name="Close").click()
        page.fill("#f-search", hostile[:8])
        row = page.locator("#rows tr").filter(has_text=hostile)
        expect(row).to_contain_text("pro")
        assert page.locator("#rows img, dialog img").count() == 0
        row.get_by_role("checkbox").check()
        page.get_by_role("button", name="Suspend", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Suspend").click()
        expect(row).to_contain_text("suspended")
        row.get_by_role("checkbox").check()
        page.get_by_role("button", name="Resume", exact=True).click()
        expect(row).to_contain_text("allowed")
    # Who is no admin sees no such page, and no way to one.
    own, site.token = site.token, token
    with site.visit("/admin/vms") as page:
        expect(page.locator("h1")).to_have_text("This is not for you")
        expect(page.get_by_role("link", name="Admin")).to_have_count(0)
        page.goto("/my-vm")
        expect(page.locator("#none")).to_be_visible()
    site.token = own

    # A VM whose home is gone for a while fails to start; its job is retried.
    slug = site.call("POST", "/v1/environments", {"name": hostile, "vcpus": 1, "memoryMb": 1024, "diskMb": 1024})["environment"]["slug"]
    environment = wait_for(site, slug, "running")
    site.call("POST", f"/v1/environments/{slug}/stop")
    wait_for(site, slug, "stopped")
    homes = site.data / "vms" / f"mlt-{environment['id']}"
    with site.visit(f"/admin/vms?search={slug}") as page:
        row = page.locator("#rows tr").filter(has_text=slug)
        expect(row).to_contain_text("asleep")
        (homes / "home.img").rename(homes / "home.img.away")
        row.get_by_role("checkbox").check()
        page.get_by_role("button", name="Start", exact=True).click()
        expect(row).to_contain_text("failed", timeout=60_000)
        row.get_by_role("button", name=hostile).click()
        expect(page.locator("#detail")).to_contain_text("home is gone")
        assert page.locator("#detail img").count() == 0
        page.goto("/admin/queues?queue=vm-control&state=failed")
        job = page.locator("#rows tr").filter(has_text=environment["id"])
        expect(job).to_contain_text("home is gone", timeout=30_000)
        job.get_by_role("button", name="start").first.click()
        expect(page.get_by_role("dialog")).to_contain_text("Failures")
        page.get_by_role("button", name="Close").click()
        (homes / "home.img.away").rename(homes / "home.img")
        job.get_by_role("button", name="Retry").click()
        expect(page.locator("#messages")).to_contain_text("done again")
        wait_for(site, slug, "running")
        expect(job).to_have_count(0, timeout=15_000)
        page.get_by_role("button", name="Pause vm-provision").click()
        expect(page.get_by_role("button", name="Resume vm-provision")).to_be_visible()
        page.get_by_role("button", name="Resume vm-provision").click()
        expect(page.get_by_role("button", name="Pause vm-provision")).to_be_visible()
        page.goto("/admin/audit?action=queue.")
        expect(page.locator("#rows")).to_contain_text("queue.pause")
        page.fill("#f-action", "job.")
        expect(page.locator("#rows")).not_to_contain_text("queue.pause")
        assert "action=job." in page.url
        page.goto("/admin/hosts")
        page.get_by_role("button", name="Add a host").click()
        for label, value in [("Name", "fc-1"), ("Address", "10.0.0.11"), ("Processors", "8"), ("Memory, MB", "16384"), ("Disk, MB", "100000")]:
            page.get_by_label(label, exact=True).fill(value)
        page.get_by_role("button", name="Add it").click()
        expect(page.locator("#rows")).to_contain_text("0 of 8")
        page.get_by_role("button", name="Cordon fc-1").click()
        expect(page.locator("#rows")).to_contain_text("cordoned")
        page.get_by_role("button", name="Remove fc-1").click()
        page.get_by_role("button", name="Remove it").click()
        expect(page.locator("#rows")).to_contain_text("No hosts.")
    with site.visit("/admin") as page:
        expect(page.locator("#tiles")).to_contain_text("Runs in the last hour")
        for name in ["vms", "runs", "starts", "jobs"]:
            expect(page.locator(f"#chart-{name} path.curve").first).to_be_attached(timeout=90_000)
        assert "running" in page.locator("#chart-vms svg").get_attribute("aria-label")
    site.call("DELETE", f"/v1/admin/vms/{slug}")
    wait_for(site, slug, "destroyed")


def wait_for(site, slug, state, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        vm = site.call("GET", f"/v1/admin/vms/{slug}")["vm"]
        if vm["state"] == state:
            return vm
        assert time.monotonic() < deadline, f"{slug} did not become {state}: {vm}"
        time.sleep(0.1)


def choosing_a_flavor(site):
    """At OVH: the size of the VM is chosen, also after it was destroyed."""
    user = site.call("POST", "/v1/admin/users", {"name": f"sized-{time.time_ns()}", "tier": "unlimited"})["user"]
    own, site.token = site.token, site.call("POST", f"/v1/admin/users/{user['id']}/tokens", {"name": "browser"})["token"]
    with site.visit("/my-vm") as page:
        expect(page.locator("#flavor-field")).to_be_visible()
        assert page.locator("#flavor option").count() > 2, page.locator("#flavor").inner_text()
        option = page.locator("#flavor option").filter(has_text="d2-4").first
        page.locator("#flavor").select_option(label=option.text_content())
        page.get_by_role("button", name="Make my VM").click()
        expect(page.locator("#vm-state")).to_have_text("running", timeout=120_000)
        expect(page.locator("#vm-facts")).to_contain_text("ovh · d2-4")
        page.get_by_role("button", name="New environment").click()
        expect(page.locator("#new-flavor-field")).to_be_visible()
        assert page.locator("#new-flavor option").count() > 2
        page.locator("#new-cancel").click()
        page.get_by_role("button", name="Destroy", exact=True).click()
        page.get_by_role("button", name="Destroy it").click()
        expect(page.locator("#flavor-field")).to_be_visible(timeout=120_000)
    site.token = own
