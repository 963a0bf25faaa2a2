import Testing

@testable import WebSocket

@Suite struct WebSocketTests {
    @Test func theKeyIsAnsweredAsInTheRFC() {
        #expect(WebSocketHandshake.accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")  // 1.3
        for key in ["", "dGhlIHNhbXBsZQ==", "dGhlIHNhbXBsZSBub25jZQ==x", "*Ghl IHNhbXBsZSBub25jZ=="] {
            #expect(WebSocketHandshake.accept(key) == nil, "\(key)")
        }
    }

    /// The examples of RFC 6455, 5.7.
    @Test func framesAreAsInTheRFC() throws {
        #expect(WebSocketFrame.text("Hello").encoded() == [0x81, 0x05] + "Hello".utf8)
        let masked: [UInt8] = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]
        #expect(WebSocketFrame.text("Hello").encoded(mask: 0x37fa_213d) == masked)
        #expect(try messages(masked) == [.text("Hello")])
        #expect(WebSocketFrame.binary([UInt8](repeating: 0, count: 256)).encoded().prefix(4) == [0x82, 126, 1, 0])
        #expect(
            WebSocketFrame.binary([UInt8](repeating: 0, count: 65_536)).encoded().prefix(10)
                == [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0])
    }

    @Test(arguments: [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 1 << 20]) func everyLengthComesBack(length: Int)
        throws
    {
        let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let bytes = WebSocketFrame.binary(payload).encoded(mask: 0x0102_f3f4)
        #expect(try messages(bytes) == [.binary(payload)])
        let plain = WebSocketFrame.binary(payload).encoded()
        #expect(try messages(plain, from: .server) == [.binary(payload)])
    }

    @Test func bytesMayComeOneByOneAndFragmentsWithPingsBetween() throws {
        var bytes = WebSocketFrame(.text, Array("Hé".utf8).dropLast(), isFinal: false).encoded(mask: 1)
        bytes += WebSocketFrame(.ping, [9]).encoded(mask: 2)
        bytes += WebSocketFrame(.continuation, [], isFinal: false).encoded(mask: 3)
        bytes += WebSocketFrame(.continuation, [Array("é".utf8)[1]]).encoded(mask: 4)
        bytes += WebSocketFrame.close(.normal, "bye").encoded(mask: 5) + [1, 2, 3]
        let expected: [WebSocketMessage] = [.ping([9]), .text("Hé"), .close(.normal, "bye")]
        #expect(try messages(bytes) == expected)
        var decoder = WebSocketDecoder(from: .client)
        var seen: [WebSocketMessage] = []
        for byte in bytes {
            decoder.append([byte])
            while let message = try decoder.next() { seen.append(message) }
        }
        #expect(seen == expected)
    }

    @Test(
        arguments: [
            ([0x81, 0x00], 1002, "no mask"), ([0xC1, 0x80, 0, 0, 0, 0], 1002, "a reserved bit"),
            ([0x83, 0x80, 0, 0, 0, 0], 1002, "an unknown opcode"),
            ([0x80, 0x80, 0, 0, 0, 0], 1002, "nothing to continue"),
            ([0x09, 0x80, 0, 0, 0, 0], 1002, "a ping in parts"), ([0x89, 0xFE, 0, 126], 1002, "a long ping"),
            ([0x82, 0xFE, 0, 5], 1002, "a length in too many bytes"),
            ([0x82, 0xFF, 0, 0, 0, 0, 0, 0, 1, 0], 1002, "a length in too many bytes"),
            ([0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002, "a negative length"),
            ([0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 1], 1009, "over the limit, before it comes"),
            ([0x81, 0x81, 0, 0, 0, 0, 0xFF], 1007, "no UTF-8"), ([0x88, 0x81, 0, 0, 0, 0, 3], 1002, "half a code"),
            ([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xED], 1002, "1005"),
            ([0x88, 0x83, 0, 0, 0, 0, 0x03, 0xE8, 0xFF], 1007, "a reason that is no UTF-8"),
            ([0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80, 0, 0, 0, 0], 1002, "a text in a text"),
        ] as [([UInt8], UInt16, String)])
    func violationsHaveTheirCodeAndEndIt(bytes: [UInt8], code: UInt16, what: String) throws {
        var decoder = WebSocketDecoder(from: .client)
        decoder.append(bytes)
        let violation = #expect(throws: WebSocketViolation.self, "\(what)") {
            while try decoder.next() != nil {}
        }
        #expect(violation?.code.rawValue == code, "\(what)")
        decoder.append(WebSocketFrame.text("x").encoded(mask: 1))
        #expect(try decoder.next() == nil)
    }

    @Test func fragmentsTogetherAreBounded() throws {
        var decoder = WebSocketDecoder(from: .client, messageLimit: 10)
        decoder.append(WebSocketFrame(.binary, [1, 2, 3, 4, 5, 6], isFinal: false).encoded(mask: 1))
        #expect(try decoder.next() == nil)
        decoder.append(WebSocketFrame(.continuation, [1, 2, 3, 4, 5]).encoded(mask: 1))
        #expect(throws: WebSocketViolation.self) { try decoder.next() }
    }

    @Test func aCloseFrameHoldsWhatFits() throws {
        let frame = WebSocketFrame.close(.goingAway, String(repeating: "é", count: 100))
        #expect(frame.payload.count <= 125)
        #expect(try messages(frame.encoded(), from: .server) == [.close(.goingAway, String(repeating: "é", count: 61))])
        #expect(WebSocketFrame.close(nil).payload.isEmpty)
        #expect(WebSocketFrame.close(WebSocketCloseCode(rawValue: 1006)).payload.isEmpty)
    }

    private func messages(
        _ bytes: [UInt8], from peer: WebSocketDecoder.Peer = .client
    ) throws -> [WebSocketMessage] {
        var decoder = WebSocketDecoder(from: peer)
        decoder.append(bytes)
        var all: [WebSocketMessage] = []
        while let message = try decoder.next() { all.append(message) }
        return all
    }
}
