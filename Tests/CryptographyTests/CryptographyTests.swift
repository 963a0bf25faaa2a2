import EventLoop
import Foundation
import Testing

@testable import Cryptography

private func bytes(_ hex: String) -> [UInt8] {
    stride(from: 0, to: hex.count, by: 2).map { UInt8(hex.dropFirst($0).prefix(2), radix: 16)! }
}

@Suite struct HashTests {
    /// FIPS 180-4 examples.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ])
    func digestsAreThoseOfTheStandard(text: String, digest: String) {
        #expect(SHA256.hex(text) == digest)
    }

    @Test func randomBytesHaveTheLengthAskedForAndDiffer() throws {
        #expect(try Random.bytes(0).isEmpty)
        #expect(try Random.hex(16).count == 32)
        #expect(try Random.bytes(32) != Random.bytes(32))
    }

    @Test func comparisonSeesLengthAndContent() {
        #expect(constantTimeEqual([1, 2], [1, 2]))
        #expect(constantTimeEqual([], []))
        #expect(!constantTimeEqual([1, 2], [1, 3]))
        #expect(!constantTimeEqual([1, 2], [1, 2, 0]))
    }
}

@Suite struct SecretBoxTests {
    let box: SecretBox

    init() throws { box = try SecretBox(key: Random.bytes(32)) }

    /// McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16.
    @Test func cipherIsTheStandardOne() throws {
        let key = bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
        let plain = bytes(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")
        let sealed = try SecretBox(key: key).seal(
            plain, context: bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
            nonce: bytes("cafebabefacedbaddecaf888"))
        #expect(
            hexadecimal(sealed) == "01cafebabefacedbaddecaf888"
                + "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                + "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" + "76fc6ece0f4e1768cddf8853bb2d551b")
    }

    @Test(arguments: [0, 1, 16, 100_000])
    func whatWasSealedOpens(size: Int) throws {
        let plain = try Random.bytes(size)
        let sealed = try box.seal(plain, context: "row 1")
        #expect(try box.open(sealed, context: "row 1") == plain)
        #expect(try box.seal(plain, context: "row 1") != sealed)
    }

    @Test func anyChangeIsNoticed() throws {
        let sealed = try box.seal([1, 2, 3], context: "row 1")
        func isRefused(_ sealed: [UInt8], _ context: String, by box: SecretBox) -> Bool {
            do {
                _ = try box.open(sealed, context: context)
                return false
            } catch { return (error as? CryptographyError)?.code == .notAuthentic }
        }
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1
            #expect(isRefused(changed, "row 1", by: box))
            #expect(isRefused(Array(sealed.prefix(index)), "row 1", by: box))
        }
        #expect(isRefused(sealed, "row 2", by: box))
        #expect(isRefused(sealed, "row 1", by: try SecretBox(key: Random.bytes(32))))
    }

    @Test func aShortKeyIsRefused() {
        let error = #expect(throws: CryptographyError.self) { try SecretBox(key: [1, 2, 3]) }
        #expect(error?.code == .invalidKey)
    }
}

@Suite struct SSHKeyPairTests {
    private func keygen(_ arguments: [String]) async throws -> ChildProcess.Output {
        try await ChildProcess.run(.init("ssh-keygen", arguments), deadline: .seconds(30))
    }

    /// RFC 8032, section 7.1, test 1.
    @Test func publicKeyIsTheOneOfTheStandard() throws {
        let pair = try SSHKeyPair(
            seed: bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
            check: [0, 0, 0, 0], comment: "")
        let blob = Data(base64Encoded: String(pair.publicKey.dropFirst("ssh-ed25519 ".count)))
        #expect(
            hexadecimal(blob?.suffix(32) ?? Data())
                == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    }

    @Test(arguments: ["", "martlet", "a longer comment @ host"])
    func openSSHReadsBothHalves(comment: String) async throws {
        let path = NSTemporaryDirectory() + "martlet-key-" + UUID().uuidString
        let pair = try SSHKeyPair.generate(comment: comment)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let made = FileManager.default.createFile(
            atPath: path, contents: Data(pair.privateKey.utf8), attributes: [.posixPermissions: 0o600])
        #expect(made)
        let derived = try await keygen(["-y", "-P", "", "-f", path])
        #expect(derived.text == pair.publicKey + "\n", "\(derived.errorText)")
        let listed = try await keygen(["-l", "-f", path])
        #expect(listed.text.contains(try #require(pair.fingerprint) + " "), "\(listed.errorText)")
        #expect(listed.text.hasPrefix("256 ") && listed.text.hasSuffix("(ED25519)\n"))
    }
}
