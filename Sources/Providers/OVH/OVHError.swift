import Foundation

/// Why a call to OVH gave no result.
struct OVHError: Error, CustomStringConvertible {
    enum Kind: String, CaseIterable, Sendable {
        case notSent  // no connection was made
        case noAnswer  // sent, and the connection lost or too slow: whether it had an effect is not known
        case insecure  // the server's certificate is not good
        case tooManyRequests
        case serverFailed  // 5xx, or an answer that makes no sense
        case clockRefused  // the signature's time is outside the server's window
        case signatureRefused
        case credentialRefused  // no, expired or unvalidated consumer key
        case keyUnknown  // of the application, at this endpoint
        case notGranted  // the consumer key's rules do not cover the call
        case forbidden  // IAM
        case notFound
        case conflict
        case projectExpired
        case badRequest
    }

    let kind: Kind
    let call: String  // "GET /cloud/project/…/flavor"
    let message: String  // without secrets
    var status: Int?
    var queryID: String?  // by which OVH's support finds the call
    var retryAfter: Duration?

    var description: String {
        "\(call): \(message)" + (status.map { " (HTTP \($0))" } ?? "")
            + (queryID.map { " [query \($0)]" } ?? "")
    }

    /// Whether the server may have done what it was asked for all the same.
    var mayHaveHadEffect: Bool {
        switch kind {
        case .noAnswer, .serverFailed: true
        case .notSent, .insecure, .tooManyRequests, .clockRefused, .signatureRefused, .credentialRefused, .keyUnknown,
            .notGranted, .forbidden, .notFound, .conflict, .projectExpired, .badRequest:
            false
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    var isTransient: Bool {
        switch kind {
        case .notSent, .noAnswer, .tooManyRequests, .serverFailed, .clockRefused: true
        case .conflict: true
        case .insecure, .signatureRefused, .credentialRefused, .keyUnknown, .notGranted, .forbidden, .notFound,
            .projectExpired, .badRequest:
            false
        }
    }

    /// What a person can do about it.
    var hint: String {
        switch kind {
        case .notSent, .noAnswer: "Check that this machine reaches the endpoint OVH_ENDPOINT; it is tried again."
        case .insecure: "Check the certificates of this machine (ca-certificates), and OVH_ENDPOINT."
        case .tooManyRequests: "Too many calls with this consumer key: wait, or run fewer workers with it."
        case .serverFailed: "OVH has trouble: see its status page, and try again."
        case .clockRefused: "Set this machine's clock."
        case .signatureRefused: "Check OVH_APPLICATION_SECRET and OVH_CONSUMER_KEY; has the key been validated?"
        case .credentialRefused: "Make a consumer key and validate it in a browser, then set OVH_CONSUMER_KEY."
        case .keyUnknown: "Check OVH_APPLICATION_KEY; a key belongs to one endpoint (OVH_ENDPOINT)."
        case .notGranted:
            "Make a consumer key with GET, POST, PUT and DELETE on /cloud/project/ID and /cloud/project/ID/*."
        case .forbidden: "Allow the calls in the account's IAM policy."
        case .notFound: "Check OVH_CLOUD_PROJECT_SERVICE; a project that the key may not see is 'not found' too."
        case .conflict: "Something else is at work on it: try again in a moment."
        case .projectExpired: "Renew the project."
        case .badRequest: "See the message; region, flavour and quota are the usual reasons."
        }
    }
}

extension OVHError {
    /// Both generations of error bodies, and text that is neither (a proxy's HTML).
    init(status: Int, body: [UInt8], call: String, queryID: String?, retryAfter: Duration?, scrub: (String) -> String) {
        struct Envelope: Decodable {
            var errorCode: String?
            var `class`: String?
            var message: String?
        }
        let envelope = try? JSONDecoder().decode(Envelope.self, from: Data(body))
        let code = envelope?.errorCode ?? envelope?.class
        let text = envelope?.message ?? String(decoding: body.prefix(200), as: UTF8.self)
        self.init(
            kind: Kind(status: status, code: envelope?.errorCode), call: call,
            message: scrub((code.map { "\($0): " } ?? "") + text.prefix(500).filter { !$0.isNewline }),
            status: status, queryID: queryID, retryAfter: retryAfter)
    }
}

extension OVHError.Kind {
    /// The table of docs: https://docs.ovh.com, "First steps with the OVHcloud APIs", and the clients' own exceptions.
    init(status: Int, code: String?) {
        self =
            switch (status, code) {
            case (400, "QUERY_TIME_OUT"): .clockRefused
            case (_, "INVALID_SIGNATURE"): .signatureRefused
            case (_, "NOT_CREDENTIAL"), (_, "INVALID_CREDENTIAL"): .credentialRefused
            case (_, "INVALID_KEY"): .keyUnknown
            case (_, "NOT_GRANTED_CALL"): .notGranted
            case (401, _): .credentialRefused
            case (403, _): .forbidden
            case (404, _): .notFound
            case (408, _): .noAnswer
            case (409, _): .conflict
            case (429, _): .tooManyRequests
            case (460, _): .projectExpired
            case (400..<500, _): .badRequest
            default: .serverFailed
            }
    }
}

extension ProviderError {
    /// `undone` says what did not happen because of it.
    init(_ error: OVHError, _ undone: String) {
        let code: Code =
            switch error.kind {
            case .notSent, .noAnswer, .insecure, .tooManyRequests, .serverFailed, .clockRefused, .signatureRefused,
                .credentialRefused, .keyUnknown, .notGranted, .forbidden, .projectExpired:
                .unavailable
            case .notFound, .conflict, .badRequest: .failed
            }
        self.init(code, "\(undone): OVH, \(error).", hint: error.hint, isRetryable: error.isTransient, cause: error)
    }
}
