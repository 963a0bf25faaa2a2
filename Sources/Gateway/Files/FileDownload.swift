import Execution
import Fleet
import Foundation
import HTTPTypes
import NIOCore
import SSH

/// Answers with a file's bytes. One piece is read, written and taken by the client before the next: a slow client stops
/// the reading, whatever the file's size.
struct FileDownload: Sendable {
    let exchange: Exchange
    let files: HomeFiles

    func answer(_ path: HomePath, isInline: Bool) async throws {
        try await files.withFile(path) { info, file in
            let request = exchange.head.headerFields
            var headers = Self.headers(of: info, isInline: isInline)
            if let expected = request[.ifMatch], !Self.names(expected, info.tag) {
                throw ServiceError(
                    .preconditionFailed, "'\(path)' is not as the request expects it.",
                    hint: "Somebody has changed it: read it again.")
            }
            let isKnown =
                request[.ifNoneMatch].map { Self.names($0, info.tag) }
                ?? (request[.ifModifiedSince] == headers[.lastModified])
            if isKnown { return try await exchange.respondWithoutBody(.notModified, headers: headers) }

            var part: Range<UInt64> = 0..<info.size
            var status = HTTPResponse.Status.ok
            switch ByteRange(Self.range(request, info.tag, headers[.lastModified]), size: info.size) {
            case .whole: break
            case .part(let range):
                part = range
                status = .partialContent
                headers[.contentRange] = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(info.size)"
            case .unsatisfiable:
                throw RangeRefused(size: info.size, path: path)
            }
            headers[.contentLength] = "\(part.count)"
            if exchange.head.method == .head {
                return try await exchange.respondWithoutBody(status, headers: headers)
            }
            await file.seek(reading: part.lowerBound, to: part.upperBound)
            let stream = try await exchange.stream(status, headers: headers)
            var left = part.count
            while left > 0 {
                guard let bytes = try await file.read() else { throw FileShrank(path: path) }
                try await stream.write(ByteBuffer(bytes: bytes))
                left -= bytes.count
            }
            try await stream.finish()
        }
    }

    private static func headers(of info: FileInfo, isInline: Bool) -> HTTPFields {
        let type = ContentType(of: info.path.name)
        var headers = Self.guarded
        headers[.eTag] = info.tag
        headers[.lastModified] = DateHeader.text(of: time_t(info.attributes.modified))
        headers[.acceptRanges] = "bytes"
        headers[.contentType] = type.text
        headers[.contentDisposition] =
            isInline && type.isHarmless ? "inline" : ContentType.attachment(info.path.name)
        return headers
    }

    /// What a program has written must do nothing in a browser that holds a session here.
    static let guarded: HTTPFields = [
        .contentTypeOptions: "nosniff", .contentSecurityPolicy: "sandbox; default-src 'none'",
        .cacheControl: "private, no-cache",
    ]

    /// Whether a list of tags holds this one, or is `*`.
    static func names(_ list: String, _ tag: String) -> Bool {
        list.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
            .contains { $0 == "*" || $0 == tag || $0 == "W/\(tag)" }
    }

    /// With `If-Range` a part is given only of the content that the client has the other parts of.
    private static func range(_ request: HTTPFields, _ tag: String, _ modified: String?) -> String? {
        guard let validator = request[.ifRange] else { return request[.range] }
        return validator == tag || validator == modified ? request[.range] : nil
    }
}

/// Less came than was announced: the answer is cut, so that nobody takes it for whole.
struct FileShrank: Error, CustomStringConvertible {
    let path: HomePath
    var description: String { "'\(path)' became shorter while it was read" }
}

/// Nothing of a file is where the client wants a part of it.
struct RangeRefused: Error {
    let size: UInt64
    let path: HomePath

    var error: ServiceError {
        ServiceError(
            .rangeNotSatisfiable, "'\(path)' has \(size) bytes, and none where 'Range' begins.",
            hint: "Ask for a part of these.")
    }
}
