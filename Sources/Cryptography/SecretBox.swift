import CCrypto

/// Encryption at rest: AES-256-GCM (NIST SP 800-38D) under one key with a random nonce for each message.
///
/// A sealed message is `version (1) | nonce (12) | cipher text | tag (16)`. The context is authenticated, not stored:
/// what was sealed for one row or purpose does not open for another. With random nonces a key is good for 2^32
/// messages, far above what secrets of environments come to.
package struct SecretBox: Sendable {
    private static let version: UInt8 = 1
    private static let nonceLength = 12
    private static let tagLength = 16

    private let key: [UInt8]

    /// Throws `crypto_invalid_key` unless the key has 32 bytes.
    package init(key: [UInt8]) throws {
        guard key.count == 32 else {
            throw CryptographyError(code: .invalidKey, message: "A key has 32 bytes, this one \(key.count).")
        }
        self.key = key
    }

    package func seal(_ plain: [UInt8], context: String) throws -> [UInt8] {
        try seal(plain, context: Array(context.utf8), nonce: Random.bytes(Self.nonceLength))
    }

    /// Throws `crypto_not_authentic` unless this key sealed exactly these bytes for this context.
    package func open(_ sealed: [UInt8], context: String) throws -> [UInt8] {
        try open(sealed, context: Array(context.utf8))
    }

    func seal(_ plain: [UInt8], context: [UInt8], nonce: [UInt8]) throws -> [UInt8] {
        let cipher = try Cipher()
        var output = [UInt8](repeating: 0, count: plain.count)
        var tag = [UInt8](repeating: 0, count: Self.tagLength)
        var length: Int32 = 0
        guard
            EVP_EncryptInit_ex2(cipher.context, EVP_aes_256_gcm(), key, nonce, nil) == 1,
            EVP_EncryptUpdate(cipher.context, nil, &length, context, Int32(context.count)) == 1,
            EVP_EncryptUpdate(cipher.context, &output, &length, plain, Int32(plain.count)) == 1,
            EVP_EncryptFinal_ex(cipher.context, &tag, &length) == 1,
            EVP_CIPHER_CTX_ctrl(cipher.context, EVP_CTRL_AEAD_GET_TAG, Int32(tag.count), &tag) == 1
        else { throw CryptographyError.libraryFailed("seal a message") }
        return [Self.version] + nonce + output + tag
    }

    private func open(_ sealed: [UInt8], context: [UInt8]) throws -> [UInt8] {
        let bodyStart = 1 + Self.nonceLength
        guard sealed.count >= bodyStart + Self.tagLength, sealed[0] == Self.version else {
            throw CryptographyError(code: .notAuthentic, message: "Not a sealed message of a known version.")
        }
        let nonce = Array(sealed[1..<bodyStart])
        let body = Array(sealed[bodyStart..<(sealed.count - Self.tagLength)])
        var tag = Array(sealed.suffix(Self.tagLength))
        let cipher = try Cipher()
        var plain = [UInt8](repeating: 0, count: body.count)
        var rest = [UInt8](repeating: 0, count: Self.tagLength)
        var length: Int32 = 0
        guard
            EVP_DecryptInit_ex2(cipher.context, EVP_aes_256_gcm(), key, nonce, nil) == 1,
            EVP_DecryptUpdate(cipher.context, nil, &length, context, Int32(context.count)) == 1,
            EVP_DecryptUpdate(cipher.context, &plain, &length, body, Int32(body.count)) == 1,
            EVP_CIPHER_CTX_ctrl(cipher.context, EVP_CTRL_AEAD_SET_TAG, Int32(tag.count), &tag) == 1
        else { throw CryptographyError.libraryFailed("open a message") }
        guard EVP_DecryptFinal_ex(cipher.context, &rest, &length) == 1 else {
            ERR_clear_error()
            throw CryptographyError(
                code: .notAuthentic, message: "Sealed with another key, for another purpose, or changed since.")
        }
        return plain
    }
}

/// Owns one `EVP_CIPHER_CTX *`.
private struct Cipher: ~Copyable {
    let context: OpaquePointer

    init() throws {
        guard let context = EVP_CIPHER_CTX_new() else { throw CryptographyError.libraryFailed("make a cipher") }
        self.context = context
    }

    deinit { EVP_CIPHER_CTX_free(context) }
}
