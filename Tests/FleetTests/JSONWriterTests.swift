import Fleet
import Foundation
import Testing

@Suite struct JSONWriterTests {
    @Test func whatIsWrittenIsReadBackByFoundation() throws {
        let texts = [
            "", "plain", "\"quoted\" \\ back", "line\nfeed\ttab\r\u{0}\u{1F}", "é ∀ 🐦 \u{2028}", "\u{7F}/</script>",
        ]
        var inner = JSONWriter()
        inner.field("flag", true)
        var writer = JSONWriter()
        writer.field("texts", texts)
        writer.field("map", Dictionary(uniqueKeysWithValues: texts.map { ($0, $0 + "!") }))
        writer.field("whole", -42)
        writer.field("half", 0.5)
        writer.field("nothing", String?.none)
        writer.field("infinite", Double.infinity)
        writer.field("none", [String]())
        writer.field("inner", json: inner.ended())
        writer.field("many", [JSONWriter().ended(), JSONWriter().ended()])

        struct Inner: Decodable { let flag: Bool }
        struct Empty: Decodable {}
        struct Whole: Decodable {
            let texts: [String]
            let map: [String: String]
            let whole: Int
            let half: Double
            let nothing: String?
            let infinite: Double?
            let none: [String]
            let inner: Inner
            let many: [Empty]
        }
        let read = try JSONDecoder().decode(Whole.self, from: Data(writer.ended()))
        #expect(read.texts == texts)
        #expect(read.map.count == texts.count && read.map.allSatisfy { $0.value == $0.key + "!" })
        #expect(read.whole == -42 && read.half == 0.5 && read.inner.flag)
        #expect(read.nothing == nil && read.infinite == nil && read.none.isEmpty && read.many.count == 2)
    }
}
