import Foundation
import HTTPTransport

/// Calls the HTTP API of one server as one user.
package struct APIClient: Sendable {
    package let url: String  // without a slash at the end
    package let token: String?
    let http = HTTPClient()

    package init(url: String, token: String?) {
        self.url = url.hasSuffix("/") ? String(url.dropLast()) : url
        self.token = token
    }

    /// `MARTLET_URL` and `MARTLET_TOKEN`, each else from the credentials file. The file's token is never sent to
    /// another server than the file's own. Throws if there is neither URL nor file.
    package static func standard(
        url givenURL: String? = nil, environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws -> APIClient {
        let saved = try Credentials.load(from: Credentials.standardPath(environment))
        func nonEmpty(_ text: String?) -> String? { text.flatMap { $0.isEmpty ? nil : $0 } }
        guard let url = givenURL ?? nonEmpty(environment["MARTLET_URL"]) ?? saved?.url else {
            throw ClientError(
                .unreachable, code: "no_server", message: "No server is known.",
                hint: "Start one with 'martlet up', or set MARTLET_URL and MARTLET_TOKEN.")
        }
        var token = nonEmpty(environment["MARTLET_TOKEN"])
        if token == nil, let saved, APIClient(url: saved.url, token: nil).url == APIClient(url: url, token: nil).url {
            token = saved.token
        }
        return APIClient(url: url, token: token)
    }

    /// What came back for a call that was not refused: the body's bytes, and the value they decode to on demand.
    package struct Answer: Sendable {
        package let status: Int
        package let body: [UInt8]

        package func decoded<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value {
            let decoder = JSONDecoder()
            do {
                return try decoder.decode(type, from: Data(body))
            } catch {
                throw ClientError(
                    .failed, code: "answer_not_understood", message: "The server's answer is not of the known form.",
                    hint: "Client and server may be of different versions: 'martlet --version'.")
            }
        }
    }

    /// Throws ``ClientError`` for every answer but 2xx.
    @discardableResult
    package func call(
        _ method: String, _ path: String, json body: (any Encodable & Sendable)? = nil, timeout: Duration = .seconds(90)
    ) async throws -> Answer {
        let request = self.request(method, path, body: try body.map { try Array(JSONEncoder().encode($0)) })
        return try await send(request, timeout: timeout)
    }

    /// Posts bytes as they are, for as long as it takes unless `timeout` is given.
    @discardableResult
    func post(
        _ path: String, bytes: [UInt8], headers: [(String, String)] = [("Content-Type", "application/octet-stream")],
        timeout: Duration? = nil
    ) async throws -> Answer {
        var request = request("POST", path, body: bytes)
        request.headers.removeAll { $0.0 == "Content-Type" }
        request.headers += headers
        return try await send(request, timeout: timeout)
    }

    /// Puts bytes as they are. It may be sent twice, as `PUT` may.
    func put(_ path: String, bytes: [UInt8]) async throws -> Answer {
        var request = request("PUT", path, body: bytes)
        request.headers.removeAll { $0.0 == "Content-Type" }
        request.headers.append(("Content-Type", "application/octet-stream"))
        return try await send(request, timeout: nil)
    }

    /// Lends an answer while its body still comes.
    func streaming<Result>(
        _ method: String, _ path: String, headers: [(String, String)],
        _ body: (HTTPStreamingResponse) async throws -> Result
    ) async throws -> Result {
        var request = request(method, path, body: nil)
        request.headers += headers
        request.timeout = nil
        request.idleTimeout = .seconds(120)
        do {
            return try await http.stream(request) { response in
                guard (200..<300).contains(response.status) else {
                    var refused: [UInt8] = []
                    for try await chunk in response where refused.count < 1 << 20 { refused += chunk }
                    throw refusal(status: response.status, body: refused)
                }
                return try await body(response)
            }
        } catch let error as HTTPTransportError {
            throw ClientError(error, server: url)
        }
    }

    /// Calls `line` for each line of an answer that is a stream, without its line end, until the stream ends or `line`
    /// returns false.
    func lines(
        _ method: String, _ path: String, accept: String, json body: (any Encodable & Sendable)? = nil,
        _ line: ([UInt8]) async throws -> Bool
    ) async throws {
        var request = self.request(method, path, body: try body.map { try Array(JSONEncoder().encode($0)) })
        request.headers.append(("Accept", accept))
        request.timeout = nil
        request.idleTimeout = .seconds(60)  // a living stream says something every 15 seconds
        do {
            try await http.stream(request) { response in
                guard (200..<300).contains(response.status) else {
                    var body: [UInt8] = []
                    for try await chunk in response where body.count < 1 << 20 { body += chunk }
                    throw refusal(status: response.status, body: body)
                }
                var splitter = LineSplitter()
                for try await chunk in response {
                    for found in try splitter.feed(chunk) where try await !line(found) { return }
                }
                if let rest = splitter.rest { _ = try await line(rest) }
            }
        } catch let error as HTTPTransportError {
            throw ClientError(error, server: url)
        }
    }

    private func send(_ request: HTTPRequest, timeout: Duration?) async throws -> Answer {
        var request = request
        request.timeout = timeout
        do {
            let response = try await http.send(request)
            guard (200..<300).contains(response.status) else {
                throw refusal(status: response.status, body: response.body)
            }
            return Answer(status: response.status, body: response.body)
        } catch let error as HTTPTransportError {
            throw ClientError(error, server: url)
        }
    }

    private func request(_ method: String, _ path: String, body: [UInt8]?) -> HTTPRequest {
        var headers = [("User-Agent", "martlet")]
        if let token { headers.append(("Authorization", "Bearer \(token)")) }
        if body != nil { headers.append(("Content-Type", "application/json")) }
        return HTTPRequest(method, url + path, headers: headers, body: body)
    }

    private struct Refusal: Decodable {
        struct Details: Decodable {
            let code: String
            let message: String
            let hint: String?
            let requestId: String?
        }
        let error: Details
    }

    func refusal(status: Int, body: [UInt8]) -> ClientError {
        let kind: ClientError.Kind = status == 401 || status == 403 ? .notAllowed : status < 500 ? .refused : .failed
        guard let details = try? JSONDecoder().decode(Refusal.self, from: Data(body)).error else {
            return ClientError(
                kind, code: "http_\(status)", message: "\(url) answered with status \(status).",
                hint: "Is it a Martlet server?")
        }
        let hint =
            token == nil && status == 401
            ? "Set MARTLET_TOKEN: the file of credentials is for another server, or missing." : details.hint ?? ""
        return ClientError(
            kind, code: details.code, message: details.message, hint: hint, requestID: details.requestId)
    }
}
