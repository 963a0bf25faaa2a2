import CCrypto

/// SHA-256 (FIPS 180-4).
package enum SHA256 {
    /// The 32 bytes of the digest.
    package static func hash(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        let input = Array(bytes)
        var digest = [UInt8](repeating: 0, count: 32)
        var length: UInt32 = 0
        let result = EVP_Digest(input, input.count, &digest, &length, EVP_sha256(), nil)
        // It fails for want of memory only, and there is no digest to go on with.
        precondition(result == 1 && length == 32, "OpenSSL could not compute a SHA-256")
        return digest
    }

    /// The digest of the string's UTF-8 as 64 lower-case hexadecimal digits.
    package static func hex(_ text: String) -> String {
        hexadecimal(hash(text.utf8))
    }
}
