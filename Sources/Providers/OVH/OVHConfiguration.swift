package import Foundation

/// How an OVHcloud Public Cloud project is used.
package struct OVHConfiguration: Sendable {
    package var endpoint: OVHEndpoint
    package var credentials: OVHCredentials
    package var project: String  // its identifier, 32 hexadecimal digits
    package var region: String  // for specs that name none
    package var image = "Ubuntu 22.04"  // its exact name
    package var sshPort = 22  // of every instance
    package var namePrefix = "mlt-"  // instances of other names are not ours, and not touched
    package var flavorKinds = ["ovh.ssd.eg", "ovh.ssd.cpu", "ovh.d2"]

    package var pollInterval = Duration.seconds(5)
    /// How long an instance may take to be made, to start, to stop or to go; one not made by then is removed.
    package var patience = Duration.seconds(300)
    package var requestTimeout = Duration.seconds(60)
    package var attempts = 5  // at a call, where it may be repeated
    /// How long flavours and images are believed.
    package var catalogAge = Duration.seconds(600)
    /// A maintainer called 60 requests a minute and consumer key fair use.
    package var requestsPerSecond = 1.0
    package var burst = 10.0

    package var clock: any Clock<Duration> = ContinuousClock()
    package var now: @Sendable () -> Date = { Date() }  // for the time in signatures
    package var random: @Sendable (ClosedRange<Double>) -> Double = { Double.random(in: $0) }

    package init(endpoint: OVHEndpoint, credentials: OVHCredentials, project: String, region: String) {
        self.endpoint = endpoint
        self.credentials = credentials
        self.project = project
        self.region = region
    }
}

/// The base of all calls, known by a name or given as a URL.
package struct OVHEndpoint: Hashable, Sendable {
    package let url: String  // without a slash at its end, as "https://eu.api.ovh.com/1.0"

    package static let names = [
        "ovh-eu": "https://eu.api.ovh.com/1.0",
        "ovh-ca": "https://ca.api.ovh.com/1.0",
        "ovh-us": "https://api.us.ovhcloud.com/1.0",
    ]

    /// `nil` if it is neither a known name nor an http or https URL.
    package init?(_ text: String) {
        if let url = Self.names[text] {
            self.url = url
            return
        }
        guard let components = URLComponents(string: text), ["http", "https"].contains(components.scheme),
            components.host?.isEmpty == false, components.query == nil
        else { return nil }
        url = String(text.reversed().drop { $0 == "/" }.reversed())
    }

    /// The URL of a path. Those of a version of their own do not go below the base's `/1.0`.
    func url(of path: String, query: [(String, String)] = []) -> String {
        let isVersioned = path.hasPrefix("/v1/") || path.hasPrefix("/v2/")
        let base = isVersioned && url.hasSuffix("/1.0") ? String(url.dropLast(4)) : url
        let parameters = query.map { "\(Self.encoded($0.0))=\(Self.encoded($0.1))" }.joined(separator: "&")
        return base + path + (parameters.isEmpty ? "" : "?\(parameters)")
    }

    /// Percent-encoded, all but the unreserved characters of RFC 3986.
    static func encoded(_ text: String) -> String {
        text.utf8.map { byte in
            let isUnreserved =
                UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || "-._~".utf8.contains(byte)
            return isUnreserved ? String(decoding: [byte], as: UTF8.self) : String(format: "%%%02X", byte)
        }.joined()
    }
}

/// What signs a call. Only the application's key is shown: it is public.
package struct OVHCredentials: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    package let applicationKey: String
    package let applicationSecret: String
    package let consumerKey: String

    package init(applicationKey: String, applicationSecret: String, consumerKey: String) {
        self.applicationKey = applicationKey
        self.applicationSecret = applicationSecret
        self.consumerKey = consumerKey
    }

    package var description: String { "OVH application \(applicationKey)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: ["applicationKey": applicationKey]) }

    /// The text without the secrets, should a server have repeated them.
    func scrubbed(_ text: String) -> String {
        [applicationSecret, consumerKey].filter { !$0.isEmpty }.reduce(text) { $0.replacing($1, with: "…") }
    }
}
