import Cryptography

/// The signature of a call: `$1$` and the SHA-1 of six fields joined with `+`. Body and URL are those on the wire, byte
/// by byte; a call without a body has an empty field. Source: the vendor's `ovh` packages, whose output
/// `OVHSignatureTests` reproduces.
enum OVHSignature {
    static func sign(
        _ method: String, _ url: String, body: [UInt8] = [], timestamp: Int, with credentials: OVHCredentials
    ) -> String {
        let head = "\(credentials.applicationSecret)+\(credentials.consumerKey)+\(method.uppercased())+\(url)+"
        return "$1$" + SHA1.hex(Array(head.utf8) + body + Array("+\(timestamp)".utf8))
    }
}
