package import Foundation

/// The image that VMs are made of: what `martlet image build` promises and the provider relies on.
package struct VMImage: Codable, Sendable {
    enum Label {
        static let format = "gh.gg/image-format"
        static let runtimes = "gh.gg/runtimes"
        static let runner = "gh.gg/runner-version"
    }

    /// Raised when what is where in an image changes so that older images do not work any more.
    static let format = "1"

    package let tags: [String]
    package let id: String
    package let createdAt: Date
    package let sizeInBytes: Int
    package let runtimes: [String]
    package let runnerVersion: String

    static func missing(_ name: String) -> ProviderError {
        ProviderError(
            .unavailable, "The Docker engine has no image '\(name)'.",
            hint: "Build it: 'martlet image build', or name another by --image (MARTLET_IMAGE).")
    }

    static func check(_ image: EngineImage, named name: String) throws(ProviderError) {
        guard image.config?.labels?[Label.format] == format else {
            throw ProviderError(
                .unavailable, "The image '\(name)' was not made by this version of Martlet.",
                hint: "Build it anew: 'martlet image build'.")
        }
    }
}
