import Testing

@testable import Client

@Suite struct VariableFileTests {
    static let files: [(String, [[String]])] = [
        ("", []), ("# only a comment\n\n", []), ("A=1\nB=2", [["A", "1"], ["B", "2"]]),
        ("  export A = x y  \r\nB=\r\n", [["A", "x y"], ["B", ""]]),
        ("A=b=c # why\nB=b#c\nC=#d", [["A", "b=c"], ["B", "b#c"], ["C", ""]]),
        (#"A='it\n $X # is' # c"#, [["A", #"it\n $X # is"#]]),
        (#"A="a\n\"b\"\\ \$c \d""#, [["A", "a\n\"b\"\\ $c \\d"]]),
        ("KEY=\"one\ntwo\"\nB=3", [["KEY", "one\ntwo"], ["B", "3"]]), ("A=1\nA=2", [["A", "1"], ["A", "2"]]),
    ]

    @Test(arguments: files) func aFileIsReadAsOtherToolsReadIt(text: String, variables: [[String]]) throws {
        #expect(try VariableFile.parse(text).map { [$0.name, $0.value] } == variables)
    }

    static let faults: [(String, Int)] = [
        ("A=1\nhello\n", 2), ("\n\n1A=2", 3), ("A B=1", 1), ("A='1\n2", 1), ("A=1\nB=\"x\" y", 2), ("=1", 1),
    ]

    @Test(arguments: faults) func aFaultIsFoundOnItsLine(text: String, line: Int) {
        let fault = #expect(throws: VariableFile.Fault.self) { _ = try VariableFile.parse(text) }
        #expect(fault?.line == line)
    }

    @Test func anAssignmentKeepsAllBehindItsFirstEqualsSign() {
        #expect(VariableFile.parse(assignment: "A=b=c ")?.value == "b=c ")
        for text in ["A", "=b", "1A=b", "A-B=c", ""] { #expect(VariableFile.parse(assignment: text) == nil) }
    }
}
