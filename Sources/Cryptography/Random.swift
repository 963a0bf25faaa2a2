import CCrypto

/// Bytes nobody can guess, from OpenSSL's generator, which seeds itself from the kernel's.
package enum Random {
    package static func bytes(_ count: Int) throws -> [UInt8] {
        precondition(count >= 0 && count <= Int(Int32.max), "a count of random bytes out of range")
        var bytes = [UInt8](repeating: 0, count: count)
        guard RAND_bytes(&bytes, Int32(count)) == 1 else {
            throw CryptographyError.libraryFailed("make \(count) random bytes")
        }
        return bytes
    }

    /// `count` random bytes as `2 * count` lower-case hexadecimal digits.
    package static func hex(_ count: Int) throws -> String {
        hexadecimal(try bytes(count))
    }
}

/// Lower-case hexadecimal digits, two a byte.
package func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}

/// Whether both hold the same bytes, in a time that depends on their lengths only.
package func constantTimeEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    left.count == right.count && CRYPTO_memcmp(left, right, left.count) == 0
}
