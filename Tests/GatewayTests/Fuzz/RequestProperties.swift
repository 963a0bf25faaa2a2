import Execution
import Fleet
import Foundation
import TestSupport

@testable import Gateway

/// What has to hold for any bytes as the body of a request: they are taken if and only if they are JSON of the right form,
/// with the values that Foundation finds in them, and refused in a sentence that is not as long as they are.
enum RequestProperties {
    static func check(_ bytes: [UInt8]) throws {
        let reference = JSONTree.mayBeDecoded(bytes) ? Reference(tree: JSONTree.decoded(bytes)) : nil
        try checkReader(bytes, reference)
        try checkBody(bytes, reference)
        try checkInputs(bytes, reference)
    }

    /// What Foundation says of a text that it can be asked about.
    private struct Reference {
        let tree: JSONTree?
    }

    private static func checkReader(_ bytes: [UInt8], _ reference: Reference?) throws {
        do {
            let tree = try JSONTree.read(bytes)
            try hold(JSONTree.isUTF8WithoutMark(bytes), "Text in another encoding was taken.")
            guard let reference else { return }
            guard tree.isFinite else { return }
            try hold(reference.tree == tree, "Read \(tree), not \(String(describing: reference.tree)).")
        } catch let error as ServiceError {
            let isOurs = error.message.contains("deeper than") || error.message.contains("is given twice")
            try hold(isOurs || reference?.tree == nil, "JSON was refused: \(error).")
            try checkRefusal(error)
        }
    }

    private static func checkBody(_ bytes: [UInt8], _ reference: Reference?) throws {
        let request: ExecutionRequest
        do {
            request = try ExecuteBody.decode(bytes)
        } catch {
            if error.code == .malformedJSON { try hold(reference?.tree == nil, "JSON was refused: \(error).") }
            return try checkRefusal(error)
        }
        try hold(JSONTree.isUTF8WithoutMark(bytes), "Text in another encoding was taken.")
        guard reference != nil else { return }
        let body: Body
        do {
            body = try JSONDecoder().decode(Body.self, from: Data(bytes))
        } catch {
            throw Violation("Foundation refuses what was taken: \(error).")
        }
        func content(_ text: String, _ encoding: String?) -> [UInt8]? {
            encoding == "base64" ? Data(base64Encoded: text).map(Array.init) : Array(text.utf8)
        }
        try hold(request.code == content(body.code, body.codeEncoding), "The code is another.")
        try hold(Array(request.language.utf8) == Array(body.language.utf8), "The language is another.")
        try hold(request.stdin == body.stdin.map { Array($0.utf8) }, "The input is another.")
        try hold(request.environment == body.environment, "The environment is another.")
        try hold(request.arguments == body.args ?? [], "The arguments are others.")
        try hold(request.environmentVariables == body.env ?? [:], "The variables are others.")
        try hold(request.files.map(\.path) == (body.files ?? []).map(\.path), "The files are others.")
        let contents = (body.files ?? []).map { content($0.content, $0.encoding) }
        try hold(request.files.map(\.content) == contents, "The files' contents are others.")
        for (ours, theirs) in [
            (request.limits.timeoutMs, body.timeoutMs), (request.limits.memoryMb, body.limits?.memoryMb),
            (request.limits.cpuMs, body.limits?.cpuMs), (request.limits.outputBytes, body.limits?.outputBytes),
            (request.limits.processes, body.limits?.processes),
        ] { try hold(ours.map(Double.init) == theirs, "A limit is \(ours ?? 0), not \(theirs ?? 0).") }
    }

    private static func checkInputs(_ bytes: [UInt8], _ reference: Reference?) throws {
        let inputs = TRPCInputs(.success(bytes), isBatch: true)
        for index in 0..<4 {
            switch inputs[index] {
            case .success(nil): break
            case .success(let text?):
                guard let reference else { break }
                guard case .object(let fields)? = reference.tree else {
                    if try !JSONTree.read(bytes).isFinite { break }
                    throw Violation("Of what is no object an input was taken.")
                }
                try hold(fields[Array("\(index)".utf8)] == JSONTree.decoded(text), "Input \(index) is another.")
            case .failure(let error): try checkRefusal(error)
            }
        }
    }

    private static func checkRefusal(_ error: ServiceError) throws {
        try hold(error.code == .malformedJSON || error.code == .invalidRequest, "Refused with \(error.code).")
        try hold(error.message.utf8.count < 2_048, "The refusal has \(error.message.utf8.count) bytes.")
        try hold(!error.hint.isEmpty, "There is no hint.")
    }

    private struct Body: Decodable {
        struct File: Decodable {
            let path: String
            let content: String
            let encoding: String?
        }
        struct Limits: Decodable {
            let memoryMb, cpuMs, outputBytes, processes: Double?
        }
        let code: String
        let codeEncoding: String?
        let language: String
        let stdin: String?
        let args: [String]?
        let env: [String: String]?
        let files: [File]?
        let timeoutMs: Double?
        let limits: Limits?
        let environment: String?
    }
}
