import Foundation
import HTTPTransport
import TestSupport
import Testing

/// One `martlet up` for all tests of a suite. They share its first admin, and with it a VM.
struct SharedMartlet: SuiteTrait, TestScoping {
    @TaskLocal static var current: LiveMartlet?
    var arguments: [String] = []

    func provideScope(
        for test: Test, testCase: Test.Case?, performing tests: @concurrent @Sendable () async throws -> Void
    ) async throws {
        try await LiveMartlet.withMartlet(arguments) { martlet in
            try await Self.$current.withValue(martlet) { try await tests() }
        }
    }
}

/// The suite's martlet.
func shared() throws -> LiveMartlet { try #require(SharedMartlet.current) }

/// The body of `POST /v1/execute` for a snippet, with whatever other fields.
func body(_ language: String, _ code: String, _ fields: [String: Any] = [:]) throws -> String {
    var object: [String: Any] = ["language": language, "code": code, "stdin": ""]
    for (name, value) in fields { object[name] = value is NSNull ? nil : value }
    return String(decoding: try JSONSerialization.data(withJSONObject: object), as: UTF8.self)
}

/// The processes of this machine whose command line holds `marker`, this one left out. A snippet that carries a marker
/// can so be found from outside its VM.
func processes(marked marker: String) -> [Int32] {
    let own = ProcessInfo.processInfo.processIdentifier
    let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return all.compactMap(Int32.init).filter { process in
        process != own
            && FileManager.default.contents(atPath: "/proc/\(process)/cmdline").map {
                String(decoding: $0, as: UTF8.self).contains(marker)
            } ?? false
    }
}

/// The resident memory of a process, in bytes.
func residentBytes(of process: Int32) throws -> Int {
    let text = try String(contentsOfFile: "/proc/\(process)/statm", encoding: .utf8)
    let fields = text.split(separator: " ")
    return (Int(try #require(fields.dropFirst().first)) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
}

/// A string that occurs nowhere else on the machine.
func marker() -> String { "mark\(UUID().uuidString.prefix(8).lowercased())" }
