import Fleet
import Foundation
import TestSupport
import Testing

@testable import Execution

@Suite struct RequestTests {
    let runtime = RuntimeCatalog.Runtime(name: "python", title: "Python", aliases: [], extensions: [], limits: nil)

    static func request(_ change: (inout ExecutionRequest) -> Void) -> ExecutionRequest {
        var request = ExecutionRequest(code: [], language: "python")
        change(&request)
        return request
    }

    @Test(arguments: [
        "../x", "a/../../x", "/etc/passwd", "", "a//b", "./a", "a/.", "a\0b", String(repeating: "d/", count: 600) + "x",
        String(repeating: "n", count: 256),
    ])
    func aPathThatIsNotPlainlyInsideIsRefused(path: String) {
        let request = Self.request { $0.files = [.init(path: path, content: [])] }
        let error = #expect(throws: ServiceError.self) { try request.checkSurroundings() }
        #expect(error?.code == .invalidRequest)
        #expect(error?.message.contains("files[0].path") == true)
    }

    @Test(arguments: ["a", "data/input.csv", "..a", "a b/\u{202E}ñ\n", "-rf"])
    func anOddButHarmlessPathIsTaken(path: String) throws {
        try Self.request { $0.files = [.init(path: path, content: [])] }.checkSurroundings()
    }

    @Test func filesWhoseNamesOnlyLookTheSameAreTwo() throws {
        let names = ["\u{E9}", "e\u{301}"]
        try Self.request { $0.files = names.map { .init(path: $0, content: []) } }.checkSurroundings()
    }

    @Test func argumentsAndVariablesThatNoProcessCanBeGivenAreRefused() {
        let refused: [ExecutionRequest] = [
            Self.request { $0.arguments = ["ok", "a\0b"] },
            Self.request { $0.environmentVariables = ["A": "\0"] },
            Self.request { $0.environmentVariables = ["A=B": ""] },
            Self.request { $0.environmentVariables = ["": "x"] },
            Self.request { $0.arguments = [String(repeating: "x", count: 128 << 10)] },
            Self.request { $0.arguments = Array(repeating: String(repeating: "x", count: 100 << 10), count: 11) },
            Self.request { $0.files = [.init(path: "a", content: []), .init(path: "a", content: [])] },
        ]
        for request in refused {
            #expect(throws: ServiceError.self) { try request.checkSurroundings() }
        }
    }

    @Test func limitsDefaultToTheTierAndStopAtIt() throws {
        let plain = try Self.request { _ in }.resolvedLimits(tier: .free, runtime: runtime)
        #expect(plain == Tier.free.executionDefaults)

        let longer = try Self.request { $0.limits.timeoutMs = 120_000 }.resolvedLimits(tier: .free, runtime: runtime)
        #expect(longer.timeoutMs == 120_000)
        #expect(longer.cpuMs == 120_000 * Tier.free.vcpus)

        let fields: [(WritableKeyPath<ExecutionRequest.Limits, Int?>, Int)] = [
            (\.timeoutMs, Tier.free.executionCeiling.timeoutMs), (\.memoryMb, Tier.free.memoryMb),
            (\.cpuMs, Tier.free.executionCeiling.cpuMs), (\.outputBytes, 1 << 30), (\.processes, 512),
        ]
        for (field, ceiling) in fields {
            for (value, code) in [
                (0, ServiceError.Code.invalidRequest), (-1, .invalidRequest), (ceiling + 1, .limitExceeded),
            ] {
                let request = Self.request { $0.limits[keyPath: field] = value }
                let error = #expect(throws: ServiceError.self) {
                    try request.resolvedLimits(tier: .free, runtime: runtime)
                }
                #expect(error?.code == code)
            }
            let most = Self.request { $0.limits[keyPath: field] = ceiling }
            #expect(throws: Never.self) { try most.resolvedLimits(tier: .free, runtime: runtime) }
        }
    }

    @Test func anUnknownLanguageIsAnsweredWithTheKnownOnes() async throws {
        try await withTemporaryDirectory { directory in
            try FileManager.default.createDirectory(atPath: "\(directory)/python", withIntermediateDirectories: true)
            let text = #"{"name":"python","title":"Python","aliases":["py"],"extensions":["py"],"file":"main.py"}"#
            try Data(text.utf8).write(to: URL(filePath: "\(directory)/python/runtime.json"))
            let catalog = try RuntimeCatalog(directory: directory)
            #expect(try catalog.runtime(named: "Py").name == "python")
            let error = #expect(throws: ServiceError.self) { try catalog.runtime(named: "cobol") }
            #expect(error?.code == .unknownLanguage)
            #expect(error?.hint.contains("python") == true)
        }
    }
}
