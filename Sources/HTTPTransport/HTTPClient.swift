package import EventLoop

/// HTTP over TCP, TLS and unix sockets, by libcurl.
///
/// One libcurl multi handle lives on one event loop, inside an actor that runs there (``TransferEngine``): libcurl says
/// which descriptors and which timer it waits for, the loop calls it back, and nothing else touches it. Each request
/// is a ``Transfer``, known outside the actor by its number only.
///
/// A body is pulled. libcurl pushes bytes into the transfer's buffer; above a watermark the transfer answers
/// `CURL_WRITEFUNC_PAUSE`, libcurl stops reading the socket, TCP's window closes, and the server blocks. Reading
/// empties the buffer and lets libcurl go on. So one answer costs at most the watermark and libcurl's own buffer,
/// whatever its length.
///
/// Connections are kept and used again, a bounded number of them, though not for what must not be sent twice
/// (``HTTPRequest/isRepeatable``). A transfer that is left before its end, by the
/// closure's return or by cancellation, closes its connection: nothing of it reaches the next request.
package final class HTTPClient: Sendable {
    let engine: TransferEngine

    package init(loop: EventLoop = .next()) {
        engine = TransferEngine(loop: loop)
    }

    /// Sends a request and collects the answer. A body over `bodyLimit` bytes throws `http_response_too_large`, as
    /// soon as that is known. A status of 400 or above is an answer, not an error.
    package func send(_ request: HTTPRequest, bodyLimit: Int = 16 << 20) async throws -> HTTPResponse {
        try await stream(request) { response in
            func tooLarge() -> HTTPTransportError {
                HTTPTransportError(.tooLarge, "The answer of \(request.place) is larger than \(bodyLimit) bytes.")
            }
            let announced = request.method == "HEAD" ? nil : response["Content-Length"].flatMap { Int($0) }
            if let announced, announced > bodyLimit { throw tooLarge() }
            var body: [UInt8] = []
            for try await chunk in response {
                guard body.count + chunk.count <= bodyLimit else { throw tooLarge() }
                body.append(contentsOf: chunk)
            }
            return HTTPResponse(
                status: response.status, headers: response.headers, trailers: await response.trailers(), body: body)
        }
    }

    /// Sends a request and lends its answer once the head is there. Leaving the closure ends the transfer.
    package func stream<Result>(
        _ request: HTTPRequest, _ body: (HTTPStreamingResponse) async throws -> Result
    ) async throws -> Result {
        try request.validate()
        let transfer = try await engine.start(request)
        do {
            let head = try await engine.head(of: transfer)
            let result = try await body(HTTPStreamingResponse(engine: engine, transfer: transfer, head: head))
            await engine.end(transfer)
            return result
        } catch {
            await engine.end(transfer)
            throw error
        }
    }
}

/// An answer whose body is still on its way: iterate it once, for chunks of at most some 100 KiB. The iteration throws
/// ``HTTPTransportError`` where the body was cut off, after every byte that did arrive.
package struct HTTPStreamingResponse: AsyncSequence, Sendable {
    package typealias Element = [UInt8]

    let engine: TransferEngine
    let transfer: TransferEngine.ID
    let head: ResponseHead

    package var status: Int { head.status }
    package var headers: [(String, String)] { head.headers }

    /// The first header of this name, whatever its case.
    package subscript(name: String) -> String? { head.headers.first(named: name) }

    /// The fields that came after a chunked body; empty before its end.
    package func trailers() async -> [(String, String)] { await engine.trailers(of: transfer) }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(engine: engine, transfer: transfer) }

    package struct AsyncIterator: AsyncIteratorProtocol {
        let engine: TransferEngine
        let transfer: TransferEngine.ID

        package mutating func next() async throws -> [UInt8]? { try await engine.next(of: transfer) }
    }
}

extension HTTPRequest {
    /// For messages: where the request goes, without a query that may hold a secret.
    var place: String {
        let bare = String(url.prefix { $0 != "?" && $0 != "#" })
        return unixSocket.map { "\(bare) over \($0)" } ?? bare
    }
}
