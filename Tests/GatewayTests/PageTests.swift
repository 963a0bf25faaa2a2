import Fleet
import Foundation
import TestSupport
import Testing

@testable import Gateway

extension LiveTests {
    /// Pages and the sessions of browsers, over a real Fleet.
    @Suite struct PageTests {
        struct Site {
            let bench: Bench
            let cookie: String

            /// As a browser that has signed in, or has not if `cookie` is empty.
            func call(
                _ method: String, _ path: String, cookie: String? = nil, headers: [String: String] = [:],
                body: String? = nil
            ) async throws -> (status: Int, head: String, text: String) {
                var answer = (0, "", "")
                try await RawClient.connected(to: bench.port) { client in
                    var lines = ["\(method) \(path) HTTP/1.1", "Host: martlet.test:4610", "Connection: close"]
                    var headers = headers
                    headers["Accept"] = headers["Accept"] ?? "text/html,application/xhtml+xml,*/*;q=0.8"
                    let cookie = cookie ?? self.cookie
                    if !cookie.isEmpty { lines.append("Cookie: theme=x; martlet_session=\(cookie)") }
                    if let body {
                        lines.append("Content-Length: \(body.utf8.count)")
                        headers["Content-Type"] = headers["Content-Type"] ?? "application/x-www-form-urlencoded"
                    }
                    lines += headers.map { "\($0.key): \($0.value)" }
                    try await client.send(lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? ""))
                    let head = try await client.read(until: "\r\n\r\n")
                    answer = (Int(head.split(separator: " ")[1]) ?? 0, head, try await client.readToEnd())
                }
                return answer
            }
        }

        static let own = ["Origin": "http://martlet.test:4610"]
        static let resources = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Sources/Gateway/Pages/Resources").path

        func withSite(_ body: (Site) async throws -> Void) async throws {
            let files = try PageFiles(directory: Self.resources)
            try await LiveTests().withBench {
                $0.pages = files
            } _: { bench in
                let session = try #require(try await bench.fleet.webSessions.begin(token: bench.token))
                try await body(Site(bench: bench, cookie: session))
            }
        }

        @Test func whoIsNotSignedInIsSentToDoSoAndProgramsAreRefused() async throws {
            try await withSite { site in
                let person = try await site.call("GET", "/my-vm?x=1", cookie: "")
                #expect(person.status == 303 && person.head.contains("Location: /login?next=/my-vm%3Fx%3D1"))
                let program = try await site.call("GET", "/my-vm", cookie: "", headers: ["Accept": "*/*"])
                #expect(program.status == 401 && program.text.contains(#""code":"unauthenticated""#))
                #expect(try await site.call("GET", "/my-vm").status == 200)
                let ended = try await site.call("GET", "/", cookie: String(repeating: "x", count: 43))
                #expect(ended.status == 303 && ended.head.contains("Location: /login\r\n"))
            }
        }

        @Test func signingInWithATokenSetsACookieThatPagesCannotRead() async throws {
            try await withSite { site in
                let form = "token=\(site.bench.token)&next=%2Fmy-vm"
                let answer = try await site.call("POST", "/login", cookie: "", headers: Self.own, body: form)
                #expect(answer.status == 303 && answer.head.contains("Location: /my-vm\r\n"))
                let cookie = try #require(answer.head.firstMatch(of: /Set-Cookie: martlet_session=(\S+);(.*)\r\n/))
                #expect(cookie.output.2 == " Path=/; Max-Age=1209600; HttpOnly; SameSite=Strict")
                #expect(try await site.call("GET", "/", cookie: String(cookie.output.1)).status == 200)
                let proxied = try await site.call(
                    "POST", "/login", cookie: "",
                    headers: ["Origin": "https://martlet.test:4610", "X-Forwarded-Proto": "https"], body: form)
                #expect(proxied.head.contains("; Secure\r\n"))
                let wrong = try await site.call("POST", "/login", cookie: "", headers: Self.own, body: "token=mlt_x")
                #expect(wrong.status == 401 && wrong.text.contains("role=\"alert\"") && !wrong.head.contains("Set-C"))
                let out = try await site.call("POST", "/logout", headers: Self.own, body: "")
                #expect(out.status == 303 && out.head.contains("martlet_session=; Path=/; Max-Age=0"))
                #expect(try await site.call("GET", "/").status == 303)
            }
        }

        @Test func aLinkSignsInOnceAndNotByBeingOpened() async throws {
            try await withSite { site in
                let caller = try #require(try await site.bench.fleet.authenticator.authenticate(site.bench.token))
                let code = try await site.bench.fleet.webSessions.makeCode(for: caller.tokenID)
                for _ in 0..<2 {
                    let page = try await site.call("GET", "/login?code=\(code)", cookie: "")
                    #expect(page.status == 200 && page.text.contains("value=\"\(code)\""))
                }
                let form = "code=\(code)&next=/"
                #expect(try await site.call("POST", "/login", cookie: "", headers: Self.own, body: form).status == 303)
                let again = try await site.call("POST", "/login", cookie: "", headers: Self.own, body: form)
                #expect(again.status == 401 && again.text.contains("used already"))
            }
        }

        @Test(arguments: [
            ("POST", ["Origin": "http://evil.test"], 403), ("POST", ["Origin": "http://martlet.test:9999"], 403),
            ("POST", ["Origin": "null"], 403), ("POST", [:], 403), ("POST", ["Sec-Fetch-Site": "same-site"], 403),
            ("POST", ["Sec-Fetch-Site": "same-origin"], 404), ("POST", ["Origin": "http://martlet.test:4610"], 404),
            ("DELETE", ["Origin": "http://evil.test"], 403), ("GET", ["Origin": "http://evil.test"], 403),
            ("GET", ["Sec-Fetch-Site": "cross-site"], 403), ("GET", ["Sec-Fetch-Site": "same-origin"], 200),
            ("GET", [:], 200), ("GET", ["Upgrade": "websocket"], 403),
            ("GET", ["Upgrade": "websocket", "Origin": "http://martlet.test:4610"], 200),
        ])
        func aCookieIsOnlyTakenFromPagesOfThisServer(
            _ method: String, _ headers: [String: String], _ status: Int
        ) async throws {
            try await withSite { site in
                let path = method == "POST" ? "/v1/vm/stop" : "/v1/vm"
                let answer = try await site.call(method, path, headers: headers)
                #expect(answer.status == status, "\(method) \(headers): \(answer.text)")
                #expect((status == 403) == answer.text.contains(#""code":"cross_site""#))
                guard status == 403, headers["Upgrade"] == nil else { return }
                let token = try await site.bench.call(method, path, headers: headers)
                #expect(token.status != 403, "a token is not bound to pages")
            }
        }

        @Test func formsOfOtherSitesSignNobodyInOrOut() async throws {
            try await withSite { site in
                let foreign = ["Origin": "http://evil.test"]
                let form = "token=\(site.bench.strangersToken)"
                let answer = try await site.call("POST", "/login", cookie: "", headers: foreign, body: form)
                #expect(answer.status == 403 && !answer.head.contains("Set-Cookie"))
                #expect(try await site.call("POST", "/logout", headers: foreign, body: "").status == 403)
                #expect(try await site.call("GET", "/").status == 200)
            }
        }

        @Test func tRPCTakesNoCookieForItRunsCodeByGET() async throws {
            try await withSite { site in
                let answer = try await site.call(
                    "GET", "/api/trpc/vm.getMyVm", headers: ["Sec-Fetch-Site": "same-origin"])
                #expect(answer.status == 401)
            }
        }

        @Test func everyPageIsStrictAndMadeOfFilesThatAreThere() async throws {
            try await withSite { site in
                for path in ["/", "/my-vm", "/files", "/login?code=x", "/no/such/page"] {
                    let page = try await site.call("GET", path)
                    #expect(page.head.contains("default-src 'none'; script-src 'self'; style-src 'self';"), "\(path)")
                    #expect(page.head.contains("X-Content-Type-Options: nosniff"), "\(path)")
                    #expect(page.head.contains("Cache-Control: no-store"), "\(path)")
                    #expect(!page.text.contains("style=") && !page.text.contains("onclick"), "\(path)")
                    #expect(!page.text.contains(/<script(?![^>]*src="\/assets\/)/), "\(path)")
                    #expect(!page.text.contains(/(src|href|action)="(?!\/|#)/), "\(path)")
                    for asset in page.text.matches(of: /"(\/assets\/[^"]+)"/).map({ String($0.output.1) }) {
                        let file = try await site.call("GET", asset, cookie: "", headers: ["Accept": "*/*"])
                        #expect(file.status == 200, "\(asset)")
                        #expect(file.head.contains("immutable") && file.head.contains("nosniff"), "\(asset)")
                    }
                }
                let old = try await site.call("GET", "/assets/0000000000000000/martlet.css")
                #expect(old.status == 404)
            }
        }

        @Test func aLibraryThatIsNotInstalledIsNamedAndDoneWithout() async throws {
            let files = try PageFiles(directory: Self.resources, libraries: "/nowhere")
            #expect(files.missing == BrowserLibrary.allCases)
            try await LiveTests().withBench {
                $0.pages = files
            } _: { bench in
                let session = try #require(try await bench.fleet.webSessions.begin(token: bench.token))
                let page = try await Site(bench: bench, cookie: session).call("GET", "/")
                #expect(page.status == 200 && page.text.contains("<code>libjs-codemirror</code>"))
            }
        }

        @Test func aSuspendedUserIsToldSoAndMaySignInAsAnother() async throws {
            try await withSite { site in
                let caller = try #require(try await site.bench.fleet.authenticator.authenticate(site.bench.token))
                try await site.bench.fleet.users.setSuspended(true, caller.userID, by: .system("test"))
                let page = try await site.call("GET", "/my-vm")
                #expect(page.status == 403 && page.text.contains("Your account is suspended."), "\(page)")
                #expect(page.text.contains("action=\"/logout\"") && !page.text.contains("To the playground"))
                let call = try await site.call(
                    "GET", "/v1/vm", headers: ["Accept": "application/json", "Sec-Fetch-Site": "same-origin"])
                #expect(call.status == 403 && call.text.contains("account_suspended"), "\(call)")
                let door = try await site.call("GET", "/login")
                #expect(door.status == 200 && door.text.contains("suspended") && door.text.contains("id=\"token\""))
                let token = site.bench.token
                let again = try await site.call(
                    "POST", "/login", cookie: "", headers: Self.own, body: "token=\(token)")
                #expect(again.status == 403 && again.text.contains("suspended") && !again.head.contains("Set-Cookie"))
                let other = "mlt_\(String(token.dropFirst(4).reversed()))"
                let wrong = try await site.call("POST", "/login", cookie: "", headers: Self.own, body: "token=\(other)")
                #expect(wrong.status == 401 && !wrong.text.contains("suspended"))
                let out = try await site.call("POST", "/logout", headers: Self.own)
                #expect(out.status == 303)
                let stranger = try await site.call(
                    "POST", "/login", cookie: "", headers: Self.own, body: "token=\(site.bench.strangersToken)")
                #expect(stranger.status == 303)
            }
        }

        @Test func statesAreCalledTheSameByTemplatesAndScripts() throws {
            let script = try String(contentsOfFile: "\(Self.resources)/states.js", encoding: .utf8)
            for state in EnvironmentState.allCases {
                #expect(script.contains("\(state.rawValue): ['\(state.word)', '\(state.tone)']"), "\(state)")
            }
        }

        @Test func aPageNamesAllModulesThatItsScriptsImport() async throws {
            let files = try PageFiles(directory: Self.resources)
            #expect(Set(files.imports(of: ["run.js"])) == ["editor.js", "output.js", "page.js", "text.js"])
            try await withSite { site in
                let page = try await site.call("GET", "/")
                for name in files.imports(of: ["playground.js", "shell.js"]) {
                    let link = #"rel="modulepreload" href="/assets/\#(files.version)/\#(name)""#
                    #expect(page.text.contains(link), "\(name)")
                }
                #expect(!page.text.contains(/<script(?! type="module")/), "none is waited for")
            }
        }

        @Test func theChosenThemeComesWithThePage() async throws {
            try await withSite { site in
                let dark = try await site.call("GET", "/my-vm", cookie: "\(site.cookie); martlet_theme=dark")
                #expect(dark.text.contains(#"<html lang="en" data-theme="dark">"#))
                let odd = try await site.call("GET", "/my-vm", cookie: "\(site.cookie); martlet_theme=x")
                #expect(odd.text.contains(#"<html lang="en">"#))
            }
        }

        @Test func adminsPagesAreForAdmins() async throws {
            try await withSite { site in
                for path in ["/admin", "/admin/vms", "/admin/users", "/admin/queues", "/admin/hosts", "/admin/audit"] {
                    let page = try await site.call("GET", path)
                    #expect(page.status == 403 && page.text.contains("This page is for admins."), "\(path)")
                    #expect(!page.text.contains(#"href="/admin"#), "\(path)")
                }
            }
        }

        @Test func errorsTellPeopleWhatToDoAndProgramsTheirCode() async throws {
            try await withSite { site in
                let person = try await site.call("GET", "/nothing")
                #expect(person.status == 404 && person.text.contains("<h1>There is nothing here</h1>"))
                let program = try await site.call("GET", "/nothing", headers: ["Accept": "application/json"])
                #expect(program.status == 404 && program.text.hasPrefix(#"{"error":{"code":"route_not_found""#))
                let api = try await site.call("GET", "/v1/nothing")
                #expect(api.text.hasPrefix("{"))
                let hostile = try await site.call("GET", "/%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
                #expect(!hostile.text.contains("<script>alert"))
            }
        }

        @Test(arguments: [
            ("/my-vm", "/my-vm"), (nil, "/"), ("//evil.test", "/"), ("/\\evil.test", "/"), ("https://evil.test", "/"),
            ("/a\r\nX: y", "/"), ("/runs/1?a=b", "/runs/1?a=b"),
        ])
        func afterSigningInNobodyIsSentToAnotherServer(_ asked: String?, _ path: String) {
            #expect(SignInRoutes.path(asked) == path)
        }

        @Test func valuesAreEscapedByteByByte() {
            // A quotation mark with an accent is one character to people and ends an attribute all the same.
            #expect(PageText().escapeText("\"\u{301}>\u{301}<a&'") == "&quot;\u{301}&gt;\u{301}&lt;a&amp;&#39;")
        }
    }
}
