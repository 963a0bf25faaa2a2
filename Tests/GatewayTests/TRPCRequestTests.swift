import Fleet
import Foundation
import HTTPTypes
import NIOCore
import Testing

@testable import Gateway

/// What is read from a request's head, and what the errors are called.
@Suite struct TRPCRequestTests {
    private func request(
        _ target: String, method: HTTPRequest.Method = .get, _ headers: HTTPFields = [:]
    ) -> TRPCRequest {
        let head = HTTPRequest(
            method: method, scheme: "http", authority: nil, path: "/api/trpc/\(target)", headerFields: headers)
        return TRPCRequest(head, RequestTarget(head.path ?? ""), prefix: TRPCRouter.prefix, batchLimit: 3)
    }

    @Test(arguments: [
        ("vm.a", ["vm.a"], TRPCRequest.Form.single),
        ("vm.a,vm.b", ["vm.a,vm.b"], .single),
        ("vm.a,vm.b?batch=1", ["vm.a", "vm.b"], .batch),
        ("vm.a%2Cvm.b?batch=1&input=%7B%7D", ["vm.a", "vm.b"], .batch),
        ("vm.a?batch=true", ["vm.a"], .single),
        ("vm.a?batch=1", ["vm.a"], .batch),
        ("vm/a", ["vm/a"], .single),
        ("vm%2Fa", ["vm/a"], .single),
        ("vm.a%20b", ["vm.a b"], .single),
        ("vm.a+b", ["vm.a+b"], .single),
    ])
    func pathsAreDecodedAndThenSplit(target: String, paths: [String], form: TRPCRequest.Form) {
        let request = request(target)
        #expect(request.paths == paths && request.form == form && request.fault == nil)
    }

    @Test func streamsAreAskedForByEitherHeader() {
        #expect(request("a?batch=1", [.trpcAccept: "application/jsonl"]).form == .lines)
        #expect(request("a?batch=1", [.accept: "text/html, application/jsonl;q=0.9"]).form == .lines)
        #expect(request("a?batch=1", [.accept: "*/*"]).form == .batch)
        #expect(request("a?batch=1", [.trpcAccept: "stream/unknown"]).form == .batch)
        #expect(request("a", [.accept: "text/event-stream"]).form == .events)
        #expect(request("a,a?batch=1", [.accept: "text/event-stream"]).fault?.error.message.contains("batch") == true)
        #expect(request("a", [.trpcAccept: "application/jsonl"]).fault?.error.message.contains("batched") == true)
    }

    @Test(arguments: [
        ("a%ZZ", TRPCCode.badRequest, "not well escaped"),
        ("a,b,c,d?batch=1", .badRequest, "Batch call exceeds maximum size"),
        ("a?connectionParams=%7B", .parseError, "not JSON"),
        ("a?connectionParams=%7B%22token%22%3A1%7D", .parseError, "'token' must be a string"),
        ("a?connectionParams=%5B%5D", .parseError, "must be an object"),
    ])
    func whatIsWrongWithAllOfItIsSaid(target: String, code: TRPCCode, message: String) throws {
        let fault = try #require(request(target).fault)
        #expect(fault.code == code && fault.error.message.contains(message), "\(fault.error.message)")
    }

    @Test func aTokenComesInConnectionParams() {
        #expect(request("a?connectionParams=" + escaped(#"{"token":"mlt_x","other":"y"}"#)).token == "mlt_x")
        #expect(request("a?connectionParams=" + escaped(#"{"Authorization":"Bearer mlt_x"}"#)).token == "mlt_x")
        #expect(request("a?connectionParams=null").fault == nil && request("a").token == nil)
    }

    @Test func theHeaderKnowsTheLastIDBest() {
        let target = "a?lastEventId=2&Last-Event-Id=3"
        #expect(request(target, [.lastEventID: "1"]).lastEventID == "1")
        #expect(request(target).lastEventID == "2")
        #expect(request("a?Last-Event-Id=3").lastEventID == "3")
        #expect(request("a", [.lastEventID: ""]).lastEventID == nil)
    }

    @Test(arguments: [
        (nil, 415), ("text/plain", 415), ("application/json", 200), ("Application/JSON; charset=utf-8", 200),
        ("multipart/form-data; boundary=x", 415),
    ])
    func aBodyIsJSON(type: String?, status: Int) {
        var headers: HTTPFields = [:]
        headers[.contentType] = type
        #expect(request("a", method: .post, headers).fault?.code.status.code ?? 200 == status)
    }

    @Test func aGetMayHaveAnyTypeButThoseOfABody() {
        #expect(request("a", [.contentType: "text/plain"]).fault == nil)
        #expect(request("a", [.contentType: "application/json"]).fault == nil)
        #expect(request("a", [.contentType: "application/octet-stream"]).fault?.code == .methodNotSupported)
        #expect(request("a", [.contentType: "multipart/form-data; boundary=x"]).fault?.code == .methodNotSupported)
    }

    @Test func inputsAreKeyedByIndexInABatch() throws {
        let inputs = TRPCInputs(.success(Array(#" {"0":{"a":[1]},"2":null,"x":1,"01":2}"#.utf8)), isBatch: true)
        #expect(try inputs[0].get() == Array(#"{"a":[1]}"#.utf8))
        #expect(try inputs[1].get() == nil)
        #expect(try inputs[2].get() == Array("null".utf8))
        #expect(try TRPCInputs(.success([]), isBatch: true)[0].get() == nil)
        #expect(TRPCInputs(.success([]), isBatch: true).faultOfAll == nil)
        for text in ["[1,2]", "null", "\"a\"", "1"] {
            #expect(TRPCInputs(.success(Array(text.utf8)), isBatch: true).faultOfAll != nil)
            #expect(throws: ServiceError.self) {
                try TRPCInputs(.success(Array(text.utf8)), isBatch: true)[0].get()
            }
        }
        #expect(throws: ServiceError.self) {
            try TRPCInputs(.success(Array("{".utf8)), isBatch: true)[0].get()
        }
        let deep = String(repeating: "[", count: 200_000)
        #expect(throws: ServiceError.self) {
            try TRPCInputs(.success(Array("{\"0\":\(deep)".utf8)), isBatch: true)[0].get()
        }
        #expect(try TRPCInputs(.success(Array("[1".utf8)), isBatch: false)[0].get() == Array("[1".utf8))
    }
}

@Suite struct TRPCFaultTests {
    @Test(arguments: ServiceError.Code.allCases) func everyErrorHasItsShape(code: ServiceError.Code) throws {
        let fault = TRPCFault(ServiceError(code, "What \"happened\".", hint: "What to do.", cause: DecodingError.dummy))
        let text = String(buffer: fault.shape(path: "vm.x", requestID: "req_1"))
        let json = try JSONSerialization.jsonObject(with: Data(text.utf8))
        let shape = try #require(TRPCErrorShape(json))
        #expect(shape.message == "What \"happened\"." && shape.number == fault.code.number)
        #expect(shape.code == fault.code.rawValue && shape.status == fault.code.status.code)
        #expect(shape.path == "vm.x" && shape.service == code.rawValue && !shape.hasStack)
        #expect(!text.contains("dummy"))
        let bare = String(buffer: fault.shape(path: nil, requestID: "req_1"))
        #expect(!bare.contains("\"path\""))
    }
}

extension DecodingError {
    fileprivate static let dummy = DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "dummy"))
}

/// The declaration that TypeScript reads says what there is.
@Suite struct TRPCTypesTests {
    @Test func theTypesNameEveryProcedureAndItsKind() throws {
        let text = String(decoding: PackageResources.AppRouter_d_ts, as: UTF8.self)
        let table = try #require(text.firstMatch(of: /type Procedures = \{\n  vm: \{\n(?<rows>(?:    .*\n)*)  \};/))
        var declared: [String: String] = [:]
        for row in table.output.rows.matches(of: #/    (\w+): (Query|Mutation|Subscription)</#) {
            declared["vm.\(row.output.1)"] = row.output.2.lowercased()
        }
        let configuration = GatewayConfiguration()
        let procedures =
            VMProcedures(operations: .seeded).all
            + RunProcedures(operations: .seeded, configuration: configuration, budget: BufferBudget(bytes: 0)).all
        #expect(declared == Dictionary(uniqueKeysWithValues: procedures.map { ($0.path, $0.kind.rawValue) }))
    }

    /// Every field that a VM has is declared, and no other.
    @Test func theTypesNameEveryFieldOfAVM() throws {
        let text = String(decoding: PackageResources.AppRouter_d_ts, as: UTF8.self)
        let body = try #require(text.firstMatch(of: /export interface Vm \{\n((?:  .*\n)*)\}/)).output.1
        let declared = Set(body.matches(of: #/  (\w+): /#).map { String($0.output.1) })
        let json = try JSONSerialization.jsonObject(with: Data(try JSONView.encode(DashboardVM.example)))
        #expect(Set(try #require(json as? [String: Any]).keys) == declared)
    }
}
