import Foundation
import HTTPTransport
import TestSupport
import Testing

/// Bad input meets a clear answer in the one error form, and never an execution.
@Suite(SharedMartlet()) struct RefusalTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let name: String
        let json: String
        let status: Int
        let code: String
        let says: String
        var testDescription: String { name }
    }

    static let cases: [Case] = [
        Case(
            name: "unknown language", json: #"{"language":"klingon","code":""}"#, status: 422, code: "unknown_language",
            says: "python"),
        Case(
            name: "malformed", json: #"{"language":"python","code":}"#, status: 400, code: "malformed_json",
            says: "2"),
        Case(
            name: "wrong type", json: #"{"language":"python","code":1}"#, status: 422, code: "invalid_request",
            says: "code"),
        Case(name: "no code", json: #"{"language":"python"}"#, status: 422, code: "invalid_request", says: "code"),
        Case(
            name: "a way out of the directory",
            json: #"{"language":"python","code":"","files":[{"path":"../x","content":""}]}"#, status: 422,
            code: "invalid_request", says: "../x"),
        Case(
            name: "zero timeout", json: #"{"language":"python","code":"","timeoutMs":0}"#, status: 422,
            code: "invalid_request", says: "timeoutMs"),
        Case(
            name: "negative memory", json: #"{"language":"python","code":"","limits":{"memoryMb":-1}}"#, status: 422,
            code: "invalid_request", says: "memoryMb"),
        Case(
            name: "more than the tier", json: #"{"language":"python","code":"","limits":{"memoryMb":99999999}}"#,
            status: 422, code: "limit_exceeded", says: "tier"),
        Case(
            name: "NUL in a variable", json: #"{"language":"python","code":"","env":{"A":"\u0000"}}"#, status: 422,
            code: "invalid_request", says: "NUL"),
        Case(
            name: "somebody else's environment",
            json: #"{"language":"python","code":"","environment":"env_0000aaaa"}"#, status: 404,
            code: "environment_not_found", says: "env_0000aaaa"),
    ]

    @Test(arguments: cases) func badInputIsExplained(_ bad: Case) async throws {
        let answer = try await shared().send("POST", "/v1/execute", json: bad.json)
        #expect(answer.status == bad.status)
        let error = try errorOf(answer.body)
        #expect(error["code"] == bad.code)
        #expect("\(error["message"] ?? "") \(error["hint"] ?? "")".contains(bad.says), "\(error)")
        #expect(error["requestId"]?.isEmpty == false)
        #expect(error["hint"]?.isEmpty == false)
    }

    @Test(arguments: [
        "", "mlt_unknown", "mlt_0000000000000000000000000000000000000000000", "x",
    ]) func withoutAGoodTokenThereIsNothing(token: String) async throws {
        for (method, path) in [
            ("POST", "/v1/execute"), ("GET", "/v1/executions"), ("GET", "/v1/runtimes"), ("GET", "/v1/vm"),
            ("DELETE", "/v1/vm"),
        ] {
            let answer = try await shared().send(method, path, json: method == "POST" ? "{}" : nil, token: token)
            #expect(answer.status == 401, "\(method) \(path)")
            #expect(answer["WWW-Authenticate"] != nil)
            #expect(try errorOf(answer.body)["code"] == "unauthenticated")
        }
    }

    @Test func aBodyOverTwoMegabytesIsRefused() async throws {
        let answer = try await shared().send(
            "POST", "/v1/execute", json: try body("python", String(repeating: "#", count: 2_200_000)))
        #expect(answer.status == 413)
        #expect(try errorOf(answer.body)["code"] == "body_too_large")
    }

    @Test func unknownRoutesAndMethodsAreInTheErrorFormToo() async throws {
        let missing = try await shared().send("GET", "/v1/nothing")
        #expect(missing.status == 404)
        #expect(try errorOf(missing.body)["code"] == "route_not_found")
        let wrong = try await shared().send("DELETE", "/v1/execute")
        #expect(wrong.status == 405)
        #expect(wrong["Allow"]?.contains("POST") == true)
    }

    @Test func anExecutionThatIsNotOursDoesNotExist() async throws {
        for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/stdin")] {
            let answer = try await shared().send(method, "/v1/executions/\(UUID().uuidString.lowercased())" + path)
            #expect(answer.status == 404, "\(method) \(path)")
            #expect(try errorOf(answer.body)["code"] == "execution_not_found")
        }
    }

    private func errorOf(_ body: [UInt8]) throws -> [String: String] {
        struct Form: Decodable { let error: [String: String] }
        return try JSONDecoder().decode(Form.self, from: Data(body)).error
    }
}
