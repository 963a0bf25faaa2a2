import Execution
import Fleet
import Foundation
import Testing

@testable import Gateway

@Suite struct ExecuteBodyTests {
    private func decode(_ text: String) throws -> ExecutionRequest { try ExecuteBody.decode(Array(text.utf8)) }

    private func refusal(of bytes: [UInt8]) -> ServiceError? {
        do {
            _ = try ExecuteBody.decode(bytes)
            return nil
        } catch {
            return error
        }
    }

    @Test func allFieldsAreRead() throws {
        let request = try decode(
            """
            {"code":"print(1)\\u0000\\ud834\\udd1e\\/","language":"py","stdin":"in","args":["a",""],"env":{"A":"b\\tc"},
             "files":[{"path":"x/y","content":"AAH/","encoding":"base64"},{"path":"z","content":"é"}],
             "timeoutMs":1e3,"limits":{"memoryMb":64,"cpuMs":null,"outputBytes":1,"processes":-2},"environment":"env_1"}
            """)
        #expect(String(decoding: request.code, as: UTF8.self) == "print(1)\0𝄞/")
        #expect(request.language == "py" && request.environment == "env_1")
        #expect(request.stdin == Array("in".utf8))
        #expect(request.arguments == ["a", ""] && request.environmentVariables == ["A": "b\tc"])
        #expect(request.files.map(\.path) == ["x/y", "z"])
        #expect(request.files.map(\.content) == [[0, 1, 255], Array("é".utf8)])
        #expect(request.limits.timeoutMs == 1_000 && request.limits.memoryMb == 64)
        #expect(request.limits.cpuMs == nil && request.limits.processes == -2)  // whether it may be, Execution says
    }

    @Test func whatIsLeftOutIsAbsent() throws {
        let request = try decode(#" {"language":"c","code":"","stdin":null,"codeEncoding":null} "#)
        #expect(request.stdin == nil && request.limits.timeoutMs == nil && request.files.isEmpty)
        #expect(try decode(#"{"code":"AP8=","codeEncoding":"base64","language":"c"}"#).code == [0, 255])
    }

    @Test(arguments: [
        ("", "line 1, column 1 (byte 0), found the end of the text"),
        ("{", "line 1, column 2"),
        ("{\"code\":\"a\",}", "line 1, column 13 (byte 12), found '}'"),
        ("{\n  \"code\": \"é\",\n  \"language\" \"py\"\n}", "line 3, column 14 (byte 31), found '\"'"),
        ("{\"code\":tru}", "line 1, column 12"),
        ("{\"timeoutMs\":01}", "expected ',' or '}' at line 1, column 15"),
        ("{\"code\":\"a\nb\"}", "line 1, column 11"),
        ("{\"code\":\"abc", "line 1, column 9"),
        ("{\"code\":\"\\x\"}", "line 1, column 11"),
        ("{\"code\":\"\\ud800\"}", "line 1, column 10"),
        ("{\"code\":\"\\udc00\"}", "line 1, column 10"),
        ("{\"code\":\"\",\"language\":\"c\"} x", "line 1, column 28"),
        ("{'code':1}", "line 1, column 2"),
        ("{\"args\":[1", "must be a string, not a number"),
        ("nul", "expected 'null'"),
    ])
    func badJSONIsRefusedWithItsPlace(text: String, place: String) throws {
        let error = try #require(refusal(of: Array(text.utf8)))
        #expect(error.message.contains(place), "\(error.message)")
        #expect(error.code == (place.contains("must be") ? .invalidRequest : .malformedJSON))
    }

    @Test(arguments: [
        ("1e3", 1_000), ("2.0", 2), ("-1.50e1", -15), ("-0.0e9", 0), ("0e99999999999999999999", 0), ("100e-2", 1),
        ("9007199254740993.0", 9_007_199_254_740_993), ("-9223372036854775808.0", Int.min),
    ])
    func wholeNumbersAreExact(text: String, value: Int) throws {
        let request = try decode(#"{"code":"","language":"c","timeoutMs":\#(text)}"#)
        #expect(request.limits.timeoutMs == value)
    }

    /// One character may be as long as the body.
    @Test func aRefusalIsShortWhateverTheName() throws {
        let name = "e" + String(repeating: "\u{301}", count: 500_000)
        let error = try #require(refusal(of: Array(#"{"\#(name)":1}"#.utf8)))
        #expect(error.code == .invalidRequest && error.message.utf8.count < 1_000)
    }

    /// A tenth of a second; it took as long as name times values.
    @Test(.timeLimit(.minutes(1))) func aLongNameCostsNothingForEachValue() throws {
        let name = "e" + String(repeating: "\u{301}", count: 400_000)
        let values = String(repeating: "1,", count: 400_000) + "1"
        var reader = try JSONReader(Array(#"{"\#(name)":[\#(values)]}"#.utf8))
        _ = try reader.document { (reader: inout JSONReader) throws(ServiceError) in try reader.any() }
    }

    @Test func bytesThatAreNoTextAreRefusedWithTheirPlace() throws {
        let error = try #require(refusal(of: Array("{\"code\":\"ab".utf8) + [0xC3, 0x28, 0x22, 0x7D]))
        #expect(error.code == .malformedJSON && error.message.contains("(byte 11)"), "\(error.message)")
    }

    @Test(arguments: [
        (#"{"code":1,"language":"c"}"#, "'code' must be a string, not a number"),
        (#"{"code":"","language":{}}"#, "'language' must be a string, not an object"),
        (#"[]"#, "The body must be an object, not an array"),
        (#"{"args":"x"}"#, "'args' must be an array, not a string"),
        (#"{"args":["x",true]}"#, "'args[1]' must be a string, not true"),
        (#"{"env":{"A":1}}"#, "'env.A' must be a string, not a number"),
        (#"{"files":[{"path":"a","content":"b"},{"path":1}]}"#, "'files[1].path' must be a string"),
        (#"{"files":[{"path":"a"}]}"#, "'files[0]' has no 'content'"),
        (#"{"files":[{"content":"a"}]}"#, "'files[0]' has no 'path'"),
        (
            #"{"files":[{"path":"a","content":"*","encoding":"base64"}]}"#,
            "'files[0]' has a 'content' that is not base64"
        ),
        (#"{"files":[{"path":"a","content":"","encoding":"utf16"}]}"#, "'files[0].encoding' is not an encoding"),
        (#"{"network":"all"}"#, "'network' is not a network"),
        (#"{"network":true}"#, "'network' must be a string"),
        (#"{"timeoutMs":1.5}"#, "'timeoutMs' must be a whole number, not 1.5"),
        (#"{"timeoutMs":1e-400}"#, "'timeoutMs' must be a whole number, not 1e-400"),
        (#"{"timeoutMs":1e19}"#, "'timeoutMs' must be a whole number, not 1e19"),
        (#"{"timeoutMs":1e99999999999999999999}"#, "'timeoutMs' must be a whole number"),
        (#"{"timeoutMs":"1"}"#, "'timeoutMs' must be a whole number, not a string"),
        (#"{"timeoutMs":99999999999999999999}"#, "'timeoutMs' must be a whole number"),
        (#"{"limits":{"memory":1}}"#, "'limits.memory' is not a known field"),
        (#"{"timeout":1}"#, "'timeout' is not a known field"),
        (#"{"code":"","code":""}"#, "'code' is given twice"),
        (#"{"code":""}"#, "'language' is missing"),
        (#"{"language":"c"}"#, "'code' is missing"),
        (#"{"code":null,"language":"c"}"#, "'code' is missing"),
    ])
    func wrongTypesAreRefusedByName(text: String, message: String) throws {
        let error = try #require(refusal(of: Array(text.utf8)))
        #expect(error.code == .invalidRequest && error.message.hasPrefix(message), "\(error.message)")
        #expect(!error.hint.isEmpty)
    }

    @Test func everyPrefixOfABodyIsRefusedAndNothingTraps() {
        let text = Array(
            #"{"code":"é\u00e9\n","language":"c","args":["x",""],"limits":{"cpuMs":-1.0e+2},"env":{}}"#.utf8)
        for length in 0..<text.count { #expect(refusal(of: Array(text[..<length])) != nil) }
        for index in text.indices {
            for byte: UInt8 in [0, 0x22, 0x5C, 0x7B, 0x5D, 0x80, 0xFF] {
                var mutated = text
                mutated[index] = byte
                _ = refusal(of: mutated)
            }
        }
    }
}

@Suite struct RequestTargetTests {
    @Test(arguments: [
        ("/v1/executions?limit=5&before=a%20b+c&end", ["v1", "executions"]),
        ("/v1/%76m", ["v1", "vm"]),
        ("/", []), ("//", nil), ("/v1/", nil), ("/v1/%ff", nil), ("/v1/%2", nil), ("*", nil), ("", nil),
    ])
    func pathsAreCutAtSlashes(text: String, segments: [String]?) {
        #expect(RequestTarget(text).segments == segments)
    }

    @Test func queriesAreDecoded() {
        let target = RequestTarget("/x?limit=5&before=a%20b+c&end&follow=0&bad=%zz")
        #expect(target["limit"] == "5" && target["before"] == "a b c" && target["nothing"] == nil)
        #expect(target["bad"] == nil)
        #expect(target.isSet("end") && !target.isSet("follow") && !target.isSet("nothing"))
    }

    @Test func datesAreThoseOfTheRFC() {
        #expect(DateHeader.text(of: 784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT")
    }

    @Test(arguments: ["bad id", "", "a\u{1}", String(repeating: "x", count: 129)])
    func aRequestIDThatIsNotPlainIsReplaced(id: String) {
        #expect(RequestTarget.requestID(from: id).hasPrefix("req_"))
        #expect(RequestTarget.requestID(from: "my-Id_1.2:3") == "my-Id_1.2:3")
    }
}
