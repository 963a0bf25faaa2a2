import CCrypto
import Foundation

/// An Ed25519 key for SSH, both halves as OpenSSH writes them to files.
package struct SSHKeyPair: Hashable, Codable, Sendable {
    /// Unencrypted `openssh-key-v1` in PEM, with the newline at its end that OpenSSH insists on.
    package let privateKey: String
    /// `ssh-ed25519 AAAA… comment`, without a newline.
    package let publicKey: String

    package init(privateKey: String, publicKey: String) {
        self.privateKey = privateKey
        self.publicKey = publicKey
    }

    /// A new key. The comment is one line of text.
    package static func generate(comment: String) throws -> SSHKeyPair {
        try SSHKeyPair(seed: Random.bytes(32), check: Random.bytes(4), comment: comment)
    }

    /// What `ssh-keygen -l` shows of the public key: `SHA256:` and the digest in base64 without padding.
    package var fingerprint: String? {
        let words = publicKey.split(separator: " ")
        guard words.count >= 2, let blob = Data(base64Encoded: String(words[1])) else { return nil }
        let digest = Data(SHA256.hash(blob)).base64EncodedString()
        return "SHA256:" + digest.prefix { $0 != "=" }
    }

    /// `seed` is the private key of RFC 8032. `check` stands twice in the file, so that a wrong passphrase shows.
    /// Format: PROTOCOL.key in the OpenSSH sources.
    init(seed: [UInt8], check: [UInt8], comment: String) throws {
        let comment = comment.filter { !$0.isNewline }
        let publicBytes = try Self.publicBytes(of: seed)
        var publicBlob = Wire()
        publicBlob.append("ssh-ed25519")
        publicBlob.append(publicBytes)

        var secret = Wire(bytes: check + check)
        secret.append("ssh-ed25519")
        secret.append(publicBytes)
        secret.append(seed + publicBytes)
        secret.append(comment)
        var padding: UInt8 = 1
        while !secret.bytes.count.isMultiple(of: 8) {
            secret.bytes.append(padding)
            padding += 1
        }

        var file = Wire(bytes: Array("openssh-key-v1\0".utf8))
        file.append("none")  // cipher
        file.append("none")  // key derivation
        file.append("")  // its options
        file.bytes += [0, 0, 0, 1]  // one key
        file.append(publicBlob.bytes)
        file.append(secret.bytes)

        let lines = Array(Data(file.bytes).base64EncodedString().utf8)
        var pem = "-----BEGIN OPENSSH PRIVATE KEY-----\n"
        for start in stride(from: 0, to: lines.count, by: 70) {
            pem += String(decoding: lines[start..<min(start + 70, lines.count)], as: UTF8.self) + "\n"
        }
        privateKey = pem + "-----END OPENSSH PRIVATE KEY-----\n"
        let encoded = Data(publicBlob.bytes).base64EncodedString()
        publicKey = comment.isEmpty ? "ssh-ed25519 \(encoded)" : "ssh-ed25519 \(encoded) \(comment)"
    }

    private static func publicBytes(of seed: [UInt8]) throws -> [UInt8] {
        guard let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, seed, seed.count) else {
            throw CryptographyError.libraryFailed("make an Ed25519 key")
        }
        defer { EVP_PKEY_free(key) }
        var bytes = [UInt8](repeating: 0, count: 32)
        var length = bytes.count
        guard EVP_PKEY_get_raw_public_key(key, &bytes, &length) == 1, length == bytes.count else {
            throw CryptographyError.libraryFailed("derive an Ed25519 public key")
        }
        return bytes
    }
}

/// SSH's encoding: strings with their length before them (RFC 4251, section 5).
private struct Wire {
    var bytes: [UInt8] = []

    mutating func append(_ string: [UInt8]) {
        bytes += withUnsafeBytes(of: UInt32(string.count).bigEndian) { Array($0) }
        bytes += string
    }

    mutating func append(_ text: String) { append(Array(text.utf8)) }
}
