import HTTPTransport

/// Where a Docker engine is reached: what `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` say.
package struct EngineAddress: Hashable, Sendable, CustomStringConvertible {
    package static let standard = "unix:///var/run/docker.sock"

    package let description: String  // as it was given
    let base: String  // what paths are appended to
    let unixSocket: String?
    let tls: HTTPRequest.TLS

    /// Throws `provider_unavailable` for what is no address. `certificates` is a directory with `ca.pem`, `cert.pem` and
    /// `key.pem`. Without TLS only this machine's own addresses are taken: who speaks to an engine is root on its machine,
    /// and what is said to it holds keys.
    package init(_ text: String, isVerified: Bool = false, certificates: String? = nil) throws(ProviderError) {
        description = text
        let parts = text.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else { throw Self.unknown(text) }
        switch parts[0] {
        case "unix":
            guard parts[1].hasPrefix("/"), parts[1].utf8.count < 108 else { throw Self.unknown(text) }
            base = "http://docker"
            unixSocket = parts[1]
            tls = HTTPRequest.TLS()
        case "tcp":
            let place = parts[1].hasSuffix("/") ? String(parts[1].dropLast()) : parts[1]
            let host = Self.host(of: place)
            guard !host.isEmpty, !place.contains(where: { "/?#@".contains($0) || $0.isWhitespace }) else {
                throw Self.unknown(text)
            }
            let isNumbered = place.dropFirst(host.count).contains(":")
            unixSocket = nil
            if isVerified {
                base = "https://\(place)" + (isNumbered ? "" : ":2376")
                let directory = certificates ?? "."
                tls = HTTPRequest.TLS(
                    caCertificate: "\(directory)/ca.pem", clientCertificate: "\(directory)/cert.pem",
                    clientKey: "\(directory)/key.pem")
            } else {
                guard ["localhost", "127.0.0.1", "[::1]"].contains(host) else {
                    throw ProviderError(
                        .unavailable, "The Docker engine at \(text) would be spoken to in the clear.",
                        hint: "Set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH, and let the engine ask for certificates.")
                }
                base = "http://\(place)" + (isNumbered ? "" : ":2375")
                tls = HTTPRequest.TLS()
            }
        default: throw Self.unknown(text)
        }
    }

    private static func host(of place: String) -> String {
        if place.hasPrefix("["), let end = place.firstIndex(of: "]") { return String(place[...end]) }
        return String(place.prefix { $0 != ":" && $0 != "/" })
    }

    private static func unknown(_ text: String) -> ProviderError {
        ProviderError(
            .unavailable, "'\(text)' is no address of a Docker engine.",
            hint: "Give unix:///PATH or tcp://HOST:PORT (DOCKER_HOST, --docker-host).")
    }
}
