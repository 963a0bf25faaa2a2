console.log('before');
undefined.nothing();
