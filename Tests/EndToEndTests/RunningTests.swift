import EventLoop
import Foundation
import HTTPTransport
import TestSupport
import Testing

/// What a program does, and what its caller is told of it.
@Suite(SharedMartlet()) struct RunningTests {
    @Test(arguments: try runtimes()) func everyRuntimeSaysHello(runtime: RuntimeFile) async throws {
        let events = try await shared().execute(try body(runtime.name, runtime.hello.code, ["timeoutMs": 120_000]))
        #expect(events.stdout == runtime.hello.stdout, "stderr: \(events.stderr) \(events.error?.message ?? "")")
        #expect(events.exit?.exitCode == 0)
        #expect(events.exit?.reason == "exited")
    }

    @Test func bothStreamsAndTheExitCodeComeApart() async throws {
        let events = try await shared().execute(
            try body("python", "import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(3)"))
        #expect(events.stdout == "out\n")
        #expect(events.stderr == "err\n")
        #expect(events.exit?.exitCode == 3)
        #expect(events.exit?.reason == "exited")
        #expect(events.first { $0.event == "started" }?.executionId != nil)
    }

    @Test func aSignalIsNamed() async throws {
        let events = try await shared().execute(
            try body("python", "import os\nprint('before', flush=True)\nos.kill(os.getpid(), 11)"))
        #expect(events.stdout == "before\n")
        #expect(events.exit?.signal == "SIGSEGV")
        #expect(events.exit?.reason == "signaled")
        #expect(events.exit?.exitCode == nil)
    }

    @Test func theClockStopsTheChildrenToo() async throws {
        let mark = marker()
        let code = "echo before; sleep 1000 & exec -a \(mark) sleep 1000"
        let events = try await shared().execute(try body("bash", code, ["timeoutMs": 500]))
        #expect(events.stdout == "before\n")
        #expect(events.exit?.reason == "timeout")
        #expect(events.exit?.exitCode == nil)
        #expect(processes(marked: mark).isEmpty)
    }

    @Test func tooMuchMemoryIsSaidToBeThat() async throws {
        let code = "print('before', flush=True)\nx = b'x' * (400 << 20)\nprint(len(x))"
        let events = try await shared().execute(try body("python", code, ["limits": ["memoryMb": 64]]))
        #expect(events.stdout == "before\n")
        #expect(events.exit?.reason == "memory")
    }

    @Test func outputEndsExactlyAtItsLimit() async throws {
        let events = try await shared().execute(
            try body("bash", "echo err >&2; yes", ["limits": ["outputBytes": 100_000]]))
        #expect(events.output("stdout").count + events.output("stderr").count == 100_000)
        #expect(events.exit?.reason == "output_limit")
        #expect(events.exit?.truncated == true)
    }

    @Test func argumentsVariablesFilesAndStdinArrive() async throws {
        let code = """
            import os, sys
            print(sys.argv[1:], os.environ['GREETING'], open('data/in.txt').read(), sys.stdin.read())
            import helper
            """
        let events = try await shared().execute(
            try body(
                "python", code,
                [
                    "args": ["a b", "$HOME", "'"], "env": ["GREETING": "hi ${PATH}"], "stdin": "typed",
                    "files": [
                        ["path": "data/in.txt", "content": "from a file"],
                        ["path": "helper.py", "content": "cHJpbnQoJ2hlbHBlZCcp", "encoding": "base64"],
                    ],
                ]))
        #expect(events.stdout == "['a b', '$HOME', \"'\"] hi ${PATH} from a file typed\nhelped\n")
    }

    @Test func aCharacterIsNeverTornAndBytesStayBytes() async throws {
        let text = "é€😀"
        let writes = text.utf8.map { "sys.stdout.buffer.write(bytes([\($0)])); sys.stdout.flush(); time.sleep(0.002)" }
        let code = "import sys, time\n" + (writes * 5).joined(separator: "\n")
        let events = try await shared().execute(try body("python", code))
        #expect(events.stdout == String(repeating: text, count: 5))
        #expect(!events.contains { $0.encoding == "base64" })

        let all = try await shared().execute(
            try body("python", "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 300)"))
        #expect(all.output("stdout") == Array(repeating: Array(UInt8.min...UInt8.max), count: 300).flatMap { $0 })
    }

    @Test func codeMayHoldNULAndOutputCannotForgeAnEvent() async throws {
        let forged = #"{"event":"exit","exitCode":0,"reason":"exited"}"#
        let events = try await shared().execute(
            try body("bash", "echo '\(forged)'; printf 'event: exit\\n\\n'; exit 7"))
        #expect(events.stdout == forged + "\nevent: exit\n\n")
        #expect(events.filter { $0.event == "exit" }.count == 1)
        #expect(events.exit?.exitCode == 7)

        let nul = try await shared().execute(try body("python", "print(1)\n#\0"))
        #expect(nul.exit?.reason == "exited")  // Python refuses the source; Martlet does not mind
    }

    @Test func nothingOfARunIsThereForTheNext() async throws {
        let mark = marker()
        let daemon = "touch /tmp/left /dev/shm/left; (setsid bash -c 'exec -a \(mark) sleep 1000' &) ; echo done"
        #expect(try await shared().execute(try body("bash", daemon)).stdout == "done\n")
        #expect(processes(marked: mark).isEmpty)
        #expect(try await shared().execute(try body("bash", "ls /tmp/left /dev/shm/left 2>/dev/null")).stdout == "")
    }

    @Test func stdinIsFedWhileItRuns() async throws {
        let martlet = try shared()
        let code = "import sys\nfor line in sys.stdin: print('got', line.strip(), flush=True)\nprint('end')"
        try await martlet.withEvents(try body("python", code, ["stdin": NSNull()])) { events in
            var iterator = events.makeAsyncIterator()
            var id = ""
            while let event = try await iterator.next() {
                if let started = event.executionId { id = started }
                if event.event == "started" { break }
            }
            var printed = ""
            for line in ["one", "two"] {
                let fed = try await feed(martlet, id, line + "\n")
                #expect((200..<300).contains(fed))
                while !printed.hasSuffix("got \(line)\n"), let event = try await iterator.next() {
                    printed += event.data ?? ""
                }
            }
            _ = try await martlet.send("POST", "/v1/executions/\(id)/stdin?end=1")
            var last: MartletEvent?
            while let event = try await iterator.next() {
                printed += event.data ?? ""
                last = event
            }
            #expect(printed == "got one\ngot two\nend\n")
            #expect(last?.exitCode == 0)
            let late = try await feed(martlet, id, "late")
            #expect(late == 409)
        }
    }

    @Test func theHistoryHasIt() async throws {
        let martlet = try shared()
        let events = try await martlet.execute(try body("python", "print('kept'); raise SystemExit(4)"))
        let id = try #require(events.first { $0.executionId != nil }?.executionId)
        let answer = try await martlet.send("GET", "/v1/executions/\(id)")
        let object = try #require(try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])
        let record = try #require(object["execution"] as? [String: Any])
        #expect(record["state"] as? String == "exited")
        #expect(record["exitCode"] as? Int == 4)
        #expect(record["stdout"] as? String == "kept\n")
        let list = try await martlet.send("GET", "/v1/executions?limit=200")
        #expect(list.text.contains(id))
    }

    private func feed(_ martlet: LiveMartlet, _ id: String, _ text: String) async throws -> Int {
        var request = try martlet.request("POST", "/v1/executions/\(id)/stdin")
        request.body = Array(text.utf8)
        return try await martlet.http.send(request).status
    }
}

/// A `runtime.json` of the source tree.
struct RuntimeFile: Decodable, Sendable, CustomTestStringConvertible {
    struct Hello: Decodable, Sendable {
        let code: String
        let stdout: String
    }
    let name: String
    let packages: [String]
    let hello: Hello
    var testDescription: String { name }
}

/// Those that Debian has; of the others, whether they are on this machine is nobody's promise.
func runtimes() throws -> [RuntimeFile] {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "runtimes")
    let folders = try FileManager.default.contentsOfDirectory(atPath: root.path)
    return try folders.sorted().compactMap { folder in
        let file = root.appending(path: "\(folder)/runtime.json")
        guard FileManager.default.fileExists(atPath: file.path) else { return nil }
        return try JSONDecoder().decode(RuntimeFile.self, from: Data(contentsOf: file))
    }.filter { !$0.packages.isEmpty }
}

func * (list: [String], count: Int) -> [String] { Array(repeating: list, count: count).flatMap { $0 } }
