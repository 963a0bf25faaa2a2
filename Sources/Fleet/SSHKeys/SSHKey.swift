package import Cryptography
package import Foundation

package struct SSHKeyID: UUIDIdentifier {
    package let rawValue: UUID
    package init(rawValue: UUID) { self.rawValue = rawValue }
}

/// A key that its user logs into their VMs with.
package struct SSHKey: Sendable, Hashable {
    package let id: SSHKeyID
    package let userID: UserID
    package let name: String
    /// Algorithm and key, without a comment.
    package let publicKey: String
    package let fingerprint: String
    package let createdAt: Date

    package var algorithm: String { String(publicKey.prefix { $0 != " " }) }
}

extension ServiceError {
    /// Says what is wrong with a key, and nothing of what it was: it may have been a private one.
    package init(_ fault: SSHPublicKey.Fault) {
        let (what, hint) =
            switch fault {
            case .privateKey:
                (
                    "That is a private key. It was not kept; whoever could have seen it can use it.",
                    "Give the file that ends in '.pub', and consider making a new key."
                )
            case .severalLines: ("A public key is one line.", "Add keys one at a time.")
            case .tooLong:
                ("The key is over \(SSHPublicKey.longest) bytes long.", "Give one line of a file that ends in '.pub'.")
            case .options:
                ("There are options before the key.", "Leave them out: the line begins with 'ssh-ed25519' or its kin.")
            case .unknownAlgorithm:
                (
                    "That is not a public key of a kind that is taken.",
                    "Give a line such as 'ssh-ed25519 AAAA… laptop': Ed25519, ECDSA, or RSA from 2048 bits."
                )
            case .notBase64, .mismatch:
                ("The key is not whole, or not of the kind its line says.", "Copy the whole line of the '.pub' file.")
            case .rsaLength(let bits):
                (
                    "The RSA key has \(bits) bits.",
                    "Keys of RSA have 2048 to 16384: make one by 'ssh-keygen -t ed25519'."
                )
            }
        self.init(.invalidRequest, "Key not added: \(what)", hint: hint)
    }
}
