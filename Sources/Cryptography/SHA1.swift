import CCrypto

/// SHA-1 (FIPS 180-4), for protocols of others that prescribe it. Collisions are known: sign nothing new with it.
package enum SHA1 {
    /// The digest as 40 lower-case hexadecimal digits.
    package static func hex(_ bytes: some Sequence<UInt8>) -> String { hexadecimal(hash(bytes)) }

    /// The digest's 20 bytes.
    package static func hash(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        let input = Array(bytes)
        var digest = [UInt8](repeating: 0, count: 20)
        var length: UInt32 = 0
        let result = EVP_Digest(input, input.count, &digest, &length, EVP_sha1(), nil)
        // It fails for want of memory only, and there is no digest to go on with.
        precondition(result == 1 && length == 20, "OpenSSL could not compute a SHA-1")
        return digest
    }
}
