import Cryptography
import Foundation

/// Where a machine's sshd listens, who logs in with which key, and which host key must answer.
package struct SSHEndpoint: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible {
    package var host: String  // an address: names are not resolved here, that would block
    package var port: Int
    package var user: String
    package var privateKey: String  // OpenSSH PEM, Ed25519 or ECDSA: libssh2 1.10 signs RSA with SHA-1 only
    package var hostKey: String  // "ssh-ed25519 AAAA…", a comment may follow

    package init(host: String, port: Int, user: String, privateKey: String, hostKey: String) {
        self.host = host
        self.port = port
        self.user = user
        self.privateKey = privateKey
        self.hostKey = hostKey
    }

    /// Without the private key, which must reach no log.
    package var description: String { "\(user)@\(host):\(port)" }
    package var debugDescription: String { description }
}

/// The public key a server must prove to own.
struct HostKey {
    let algorithm: String
    let blob: [UInt8]  // RFC 4253, section 6.6: compared byte by byte

    /// Reads "algorithm base64 comment".
    init(_ line: String) throws(SSHError) {
        let words = line.split(separator: " ", omittingEmptySubsequences: true)
        guard words.count >= 2, let blob = Data(base64Encoded: String(words[1])), !blob.isEmpty else {
            throw SSHError(.protocol, "the pinned host key is not of the form 'ssh-ed25519 AAAA…'")
        }
        algorithm = String(words[0])
        self.blob = [UInt8](blob)
    }

    /// As `ssh-keygen -l` prints it: `SHA256:` and the unpadded base64 of the digest.
    static func fingerprint(of blob: [UInt8]) -> String {
        let digest = Data(SHA256.hash(blob)).base64EncodedString()
        return "SHA256:" + digest.prefix { $0 != "=" }
    }
}
