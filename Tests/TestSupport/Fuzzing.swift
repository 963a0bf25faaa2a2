import Foundation

/// Tries a property on the inputs of a corpus and on what is made of them at random, the same each time. `make fuzz`
/// tries the same properties on what libFuzzer makes up, guided by what it reaches (Tests/Fuzz).
package enum Fuzzing {
    private static let corpora =
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fuzz/corpus")

    /// Throws the first ``Violation``, with the input in base64.
    package static func run(
        _ corpus: String, count: Int, words: [String] = [], _ property: ([UInt8]) throws -> Void
    ) throws {
        let directory = corpora.appending(path: corpus)
        let files = try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
        let inputs = try files.sorted { $0.path < $1.path }.map { Array(try Data(contentsOf: $0)) }
        try hold(!inputs.isEmpty, "There is nothing in \(directory.path).")
        var mutator = Mutator(seed: 0x6d61_7274_6c65_7421, words: words.map { Array($0.utf8) })
        for index in 0..<inputs.count + count {
            let input = index < inputs.count ? inputs[index] : mutator.input(from: inputs)
            do {
                try property(input)
            } catch let violation as Violation {
                throw Violation("\(violation) Input: \(Data(input).base64EncodedString())")
            }
        }
    }
}

/// Makes inputs of others: bits flipped, bytes changed, parts cut, doubled, and put in from elsewhere, words put in.
private struct Mutator {
    private var random: SplitMix
    private let words: [[UInt8]]
    private static let longest = 4_096

    init(seed: UInt64, words: [[UInt8]]) {
        random = SplitMix(state: seed)
        self.words = words + Self.usual
    }

    /// What readers of text and of lengths are mistaken about.
    private static let usual: [[UInt8]] = [
        [0], [0xFF], [0x80], [0xC2, 0x85], [0xE2, 0x80, 0xA8], [0xE2, 0x80, 0xA9], [0xEF, 0xBB, 0xBF],
        [0xED, 0xA0, 0x80], [0xF0, 0x9F, 0x92, 0xA3], [0xC3], [0xF4, 0x90, 0x80, 0x80], [0xCC, 0x81], [0x0D], [0x0A],
        [0x0D, 0x0A],
        [0x0A, 0x0A], [0xFF, 0xFF, 0xFF, 0xFF], [0, 0, 0, 0x80],
    ]

    mutating func input(from corpus: [[UInt8]]) -> [UInt8] {
        var input = corpus.randomElement(using: &random) ?? []
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            change(&input, with: corpus.randomElement(using: &random) ?? [])
        }
        return Array(input.prefix(Self.longest))
    }

    private mutating func change(_ input: inout [UInt8], with other: [UInt8]) {
        let place = Int.random(in: 0...input.count, using: &random)
        switch Int.random(in: 0..<7, using: &random) {
        case 0 where place < input.count: input[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1 where place < input.count: input[place] = UInt8.random(in: 0...255, using: &random)
        case 2: input.removeSubrange(part(of: input, from: place))
        case 3: input.insert(contentsOf: input[part(of: input, from: place)], at: place)
        case 4: input.replaceSubrange(place..., with: other.suffix(Int.random(in: 0...other.count, using: &random)))
        case 5:
            let start = Int.random(in: 0...other.count, using: &random)
            input.insert(contentsOf: other[part(of: other, from: start)], at: place)
        default: input.insert(contentsOf: words.randomElement(using: &random) ?? [], at: place)
        }
    }

    private mutating func part(of bytes: [UInt8], from start: Int) -> Range<Int> {
        start..<Int.random(in: start...min(start + 64, bytes.count), using: &random)
    }
}

/// SplitMix64 of Steele, Lea and Flood: the same numbers for the same seed.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }
}
