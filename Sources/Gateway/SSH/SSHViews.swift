import Cryptography
import Fleet
import Foundation

/// A key as the API shows it: all of it, for it is the public half.
struct SSHKeyView: Encodable, Sendable {
    var id: SSHKeyID
    var name: String
    var algorithm: String
    var fingerprint: String
    var publicKey: String
    var createdAt: Date

    init(_ key: SSHKey) {
        id = key.id
        name = key.name
        algorithm = key.algorithm
        fingerprint = key.fingerprint
        publicKey = key.publicKey
        createdAt = key.createdAt
    }
}

/// A VM as an SSH client has to know it.
struct SSHHostView: Encodable, Sendable {
    var slug: Slug
    var name: String
    var isOwnVM: Bool
    var user: String
    var hostKey: String
    var fingerprint: String

    init(_ host: SSHHost) {
        slug = host.environment.slug
        name = host.environment.name
        isOwnVM = host.environment.kind == .userVM
        user = host.user
        hostKey = host.hostKey
        fingerprint = host.fingerprint
    }
}

/// What `POST /v1/ssh-keys` asks for.
struct NewSSHKey: Sendable, Hashable {
    let key: SSHPublicKey
    let name: String?

    static func decode(_ bytes: [UInt8]) throws(ServiceError) -> NewSSHKey {
        var reader = try JSONReader(bytes)
        var text: String?
        var name: String?
        try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            try reader.object { (reader: inout JSONReader, field: String) throws(ServiceError) in
                switch field {
                case "key": text = try reader.string()
                case "name":
                    if try reader.null() { return }
                    let label = try reader.string()
                    guard (1...100).contains(label.unicodeScalars.count), !label.utf8.contains(0) else {
                        throw reader.invalid("must have 1 to 100 characters")
                    }
                    name = label
                default: throw reader.invalid("is not a known field", hint: "The body has key and name.")
                }
            }
        }
        guard let text else {
            throw ServiceError(
                .invalidRequest, "'key' is missing.",
                hint: "Send the line of a '.pub' file, such as 'ssh-ed25519 AAAA…'.")
        }
        do {
            return NewSSHKey(key: try SSHPublicKey(text), name: name)
        } catch {
            throw ServiceError(error)
        }
    }
}

extension Schemas {
    static var ssh: [(String, JSONValue)] {
        [("SSHKey", sshKey), ("NewSSHKey", newSSHKey), ("SSHHost", sshHost)]
    }

    private static let sshKey = Schema.view(
        "A key that lets you into your VMs.",
        [
            "id": Schema.id(""), "name": Schema.string(""), "algorithm": Schema.string("", example: "ssh-ed25519"),
            "fingerprint": Schema.string("As `ssh-keygen -l` shows it."),
            "publicKey": Schema.string("Without a comment."), "createdAt": Schema.date(""),
        ])

    private static let newSSHKey = Schema.object(
        "", required: ["key"],
        [
            "key": Schema.string("A line of a `.pub` file: Ed25519, ECDSA, or RSA from 2048 bits.", length: 1...8_192),
            "name": label("To know it by. Left out: the key's comment.", isNullable: true),
        ])

    private static let sshHost = Schema.view(
        "A VM as an SSH client has to know it.",
        [
            "slug": Schema.string("What `GET /v1/ssh` takes."), "name": Schema.string(""),
            "isOwnVM": Schema.boolean("Whether it is your own VM."), "user": Schema.string("To log in as."),
            "hostKey": Schema.string("What its server proves to own; the same as long as it lives."),
            "fingerprint": Schema.string("Of the host key."),
        ])
}
