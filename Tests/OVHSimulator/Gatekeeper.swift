import Cryptography
import Foundation
import NIOHTTP1

/// Who may call: checks key, time and signature as OVH's front does, in its words.
struct Gatekeeper: Sendable {
    let applicationKey: String
    let applicationSecret: String
    let consumerKey: String
    /// How far a timestamp may be off. OVH does not say; this is strict.
    let window = 30

    /// `nil` if the call may pass.
    func refusal(of request: Request, at now: Int) -> Refusal? {
        func header(_ name: String) -> String { request.headers.first(name: name) ?? "" }
        guard header("X-Ovh-Application") == applicationKey else {
            return Refusal(403, code: "INVALID_KEY", "This application key is invalid")
        }
        let consumer = header("X-Ovh-Consumer")
        guard !consumer.isEmpty else {
            return Refusal(403, code: "NOT_CREDENTIAL", "You must login first")
        }
        guard consumer == consumerKey else {
            return Refusal(403, code: "INVALID_CREDENTIAL", "This credential is not valid")
        }
        guard let timestamp = Int(header("X-Ovh-Timestamp")), abs(timestamp - now) <= window else {
            return Refusal(400, code: "QUERY_TIME_OUT", "Query out of time")
        }
        let url = "http://\(header("Host"))\(request.uri)"
        let head = "\(applicationSecret)+\(consumerKey)+\(request.method)+\(url)+"
        let signature = "$1$" + SHA1.hex(Array(head.utf8) + request.body + Array("+\(timestamp)".utf8))
        guard header("X-Ovh-Signature") == signature else {
            return Refusal(400, code: "INVALID_SIGNATURE", "Invalid signature")
        }
        return nil
    }
}

/// An error as OVH words it: the older envelope with a code, or the newer with a class.
struct Refusal: Error, Sendable {
    let status: Int
    let body: JSON
    var retryAfter: Int?

    init(_ status: Int, code: String, _ message: String) {
        self.status = status
        body = [
            "errorCode": .text(code),
            "httpCode": .text("\(status) \(HTTPResponseStatus(statusCode: status).reasonPhrase)"),
            "message": .text(message),
        ]
    }

    init(_ status: Int, class name: String, _ message: String) {
        self.status = status
        body = ["class": .text(name), "message": .text(message)]
    }
}
