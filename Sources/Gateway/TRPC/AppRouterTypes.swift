import HTTPTypes
import NIOCore

/// What TypeScript has to know of the procedures: `AppRouter.d.ts` of this folder, which is built into the program and
/// which a test holds against the table of procedures.
enum AppRouterTypes {
    static let name = "types.d.ts"

    static func answer(_ exchange: Exchange, _ headers: HTTPFields) async throws {
        var headers = headers
        headers[.contentType] = "application/typescript; charset=utf-8"
        headers[.cacheControl] = "no-cache"
        try await exchange.respond(.ok, headers: headers, body: ByteBuffer(bytes: PackageResources.AppRouter_d_ts))
    }
}
