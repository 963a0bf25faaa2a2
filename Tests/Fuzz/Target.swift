import Foundation
import TestSupport

@testable import Client
@testable import Execution
@testable import Gateway

/// What libFuzzer calls with all that it makes up. The name of the program says which property is tried.
private let property: @Sendable ([UInt8]) throws -> Void =
    switch URL(filePath: CommandLine.arguments[0]).lastPathComponent {
    case "requests": RequestProperties.check
    case "events": EventProperties.check
    case "frames": FrameProperties.check
    case "lines": LineProperties.check
    default: { _ in throw Violation("The program is to be called requests, events, frames or lines.") }
    }

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    do {
        try property(Array(UnsafeBufferPointer(start: start, count: count)))
    } catch {
        FileHandle.standardError.write(Data("\(error)\n".utf8))
        abort()  // keeps the input, as a trap would
    }
    return 0
}
