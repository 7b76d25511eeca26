package interceptor

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// registeredFiles returns the files of the registry. It collects all of them before any is read: a file that is read lazily may use the
// registry, which is locked while it is ranged over.
func registeredFiles() []protoreflect.FileDescriptor {
	files := make([]protoreflect.FileDescriptor, 0, protoregistry.GlobalFiles.NumFiles())

	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		files = append(files, file)

		return true
	})

	return files
}

// resolved returns the message of a placeholder, if it is registered now. A file may have been made at run time before the files that it
// imports were registered.
func resolved(message protoreflect.MessageDescriptor) protoreflect.MessageDescriptor {
	if !message.IsPlaceholder() {
		return message
	}

	found, err := protoregistry.GlobalFiles.FindDescriptorByName(message.FullName())
	if err != nil {
		return message
	}

	if known, ok := found.(protoreflect.MessageDescriptor); ok {
		return known
	}

	return message
}

// isRequest reports whether any registered method takes the message.
func isRequest(message protoreflect.MessageDescriptor) bool {
	return takes(message.ParentFile(), message.FullName()) ||
		slices.ContainsFunc(registeredFiles(), func(file protoreflect.FileDescriptor) bool { return takes(file, message.FullName()) })
}

// takes reports whether a method of a file takes a message.
func takes(file protoreflect.FileDescriptor, message protoreflect.FullName) bool {
	services := file.Services()

	for i := range services.Len() {
		methods := services.Get(i).Methods()

		for j := range methods.Len() {
			if methods.Get(j).Input().FullName() == message {
				return true
			}
		}
	}

	return false
}

// extensionsOf returns the extensions of a message, sorted by name.
func extensionsOf(message protoreflect.FullName) []protoreflect.ExtensionDescriptor {
	var found []protoreflect.ExtensionDescriptor

	for _, file := range registeredFiles() {
		found = appendExtensions(found, file, message)
	}

	slices.SortFunc(found, func(a, b protoreflect.ExtensionDescriptor) int { return cmp.Compare(a.FullName(), b.FullName()) })

	return found
}

// appendExtensions appends the extensions of a message that a file, or a message in it, declares.
func appendExtensions(found []protoreflect.ExtensionDescriptor, declarer interface {
	Extensions() protoreflect.ExtensionDescriptors
	Messages() protoreflect.MessageDescriptors
}, message protoreflect.FullName,
) []protoreflect.ExtensionDescriptor {
	extensions, messages := declarer.Extensions(), declarer.Messages()

	for i := range extensions.Len() {
		if extensions.Get(i).ContainingMessage().FullName() == message {
			found = append(found, extensions.Get(i))
		}
	}

	for i := range messages.Len() {
		found = appendExtensions(found, messages.Get(i), message)
	}

	return found
}
